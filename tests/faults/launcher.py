"""A process that has imported everything and forks off one command after the other.

Run as ``python -m tests.faults.launcher``. It takes a request, a JSON object, from each line of its standard input and
answers with two lines: the process id once the command waits to be told to begin, and its exit status. Importing takes
a third of a second, the command itself some hundredths: with a thousand of them it matters. The trace of a command
then holds what it does, not what Python does to start.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
from typing import Any, TextIO

import tfbundle


def main() -> None:
    """Answer requests until standard input ends."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    _import_everything()
    for line in requests:
        gate, opener = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(opener)
            _become(json.loads(line), gate, answers)
            return
        os.close(gate)
        requests.readline()
        os.close(opener)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers)


def _import_everything() -> None:
    for module in pkgutil.walk_packages(tfbundle.__path__, "tfbundle."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("concurrent.futures.process", "concurrent.futures.thread", "multiprocessing.connection"):
        importlib.import_module(name)


def _become(request: dict[str, Any], gate: int, answers: TextIO) -> None:
    """Turn this process into the command, and leave it when the command is done."""
    from tfbundle.cli import run_process

    os.setsid()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.default_int_handler if signal_number == signal.SIGINT else signal.SIG_DFL)
    for descriptor, path in enumerate(("/dev/null", request["output"], request["errors"])):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.umask(0o022)
    os.chdir(request["directory"])
    if request["step_nbytes"]:
        _make_steps_small(request["step_nbytes"])
    if request["num_files"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (request["num_files"], request["num_files"]))
    print(os.getpid(), file=answers)
    os.read(gate, 1)  # until the other end is closed
    os.close(gate)
    sys.argv = ["tfbundle", *request["arguments"]]
    run_process()


def _make_steps_small(step_nbytes: int) -> None:
    """Let small checkpoints have steps for several workers."""
    for name in ("tfbundle.streaming.planning", "tfbundle.conversion.merge", "tfbundle.conversion.salvage"):
        module: Any = importlib.import_module(name)
        module.plan_conversion = functools.partial(module.plan_conversion, step_nbytes=step_nbytes)


if __name__ == "__main__":
    main()
