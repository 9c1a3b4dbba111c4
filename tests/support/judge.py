"""TensorFlow as a judge of damaged bundles, in a process of its own whose children may die.

A verdict is the digest of what was read, or ``error``; TensorFlow's can also be ``crash`` or ``hang``.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

import tfbundle
from tests.support.processes import TOP, environment
from tests.support.requirements import tensorflow
from tfbundle.errors import BundleError

Requests = Sequence[tuple[str, int]]
"""Name and number of the dtype of each tensor that is read."""
Verdicts = list[str]
"""One for each tensor."""

Read = Callable[[str, int], Any]

ERROR, CRASH, HANG = "error", "crash", "hang"


def digest(value: Any) -> str:
    """Return what stands for a value: its shape, and its bytes or strings."""
    array = np.asarray(value)
    contents = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
    return hashlib.sha1(repr(array.shape).encode() + contents).hexdigest()


def judge_ours(prefix: str, requests: Requests) -> tuple[Verdicts, list[str]]:
    """Read as a graph would, with a dtype for each tensor; return the verdicts, and the errors of what was refused."""
    try:
        with tfbundle.open(prefix) as bundle:
            found = [_read_ours(bundle, *request) for request in requests]
    except BundleError as error:
        found = [(ERROR, str(error))] * len(requests)
    return [verdict for verdict, _ in found], [error for _, error in found]


def _read_ours(bundle: tfbundle.BundleReader, name: str, dtype: int) -> tuple[str, str]:
    try:
        value = bundle[name]
    except BundleError as error:
        return ERROR, str(error)
    return (digest(value), "") if bundle.entry(name).dtype == dtype else (ERROR, "another dtype")


def judge_theirs(
    cases: Sequence[Mapping[str, bytes] | str],
    requests: Requests,
    directory: Path,
    how: Literal["RestoreV2", "CheckpointReader"] = "RestoreV2",
) -> list[Verdicts]:
    """Return what TensorFlow reads.

    Args:
        cases: contents of each bundle's files by what follows the prefix in their names; or prefixes of bundles.
        requests: what is read of each.
        directory: for temporary files.
        how: the op that restores a graph, or the reader that looks into checkpoints.
    """
    tensorflow()  # or the test is skipped
    work = directory / f"{how}.pickle"
    work.write_bytes(pickle.dumps((list(cases), list(requests), how, str(directory / "judged"))))
    command = [sys.executable, "-m", "tests.support.judge", str(work)]
    variables = environment(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=TOP, env=variables)
    found: list[Verdicts] = json.loads(done.stdout)
    return found


def serve(path: str) -> list[Verdicts]:
    """Judge the cases that are pickled in a file; a child that dies takes one case with it."""
    import resource

    cases, requests, how, prefix = pickle.loads(Path(path).read_bytes())
    import tensorflow as tf  # noqa: F401  # once, for all children
    from tensorflow.python.training import py_checkpoint_reader  # noqa: F401

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    units = [(case, request) for case in range(len(cases)) for request in requests]
    verdicts: Verdicts = []
    while len(verdicts) < len(units):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            _judge_in_child(cases, units[len(verdicts) :], how, prefix, writer)
        os.close(writer)
        with os.fdopen(reader) as lines:
            verdicts += [line.strip() for line in lines]
        _, status = os.waitpid(child, 0)
        if len(verdicts) < len(units):
            verdicts.append(HANG if os.waitstatus_to_exitcode(status) == -signal.SIGALRM else CRASH)
    return [verdicts[start : start + len(requests)] for start in range(0, len(units), len(requests))]


def _judge_in_child(
    cases: Sequence[Any], units: Sequence[tuple[int, tuple[str, int]]], how: str, prefix: str, writer: int
) -> None:
    """Write a line for each unit, until one ends this process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    judge, last = _restore(prefix), -1
    for number, request in units:
        signal.alarm(20)
        case = cases[number]
        if number != last:
            if not isinstance(case, str):
                for suffix, contents in case.items():
                    Path(prefix + suffix).write_bytes(contents)
            judge = (_restore if how == "RestoreV2" else _look)(case if isinstance(case, str) else prefix)
            last = number
        os.write(writer, f"{_verdict(judge, *request)}\n".encode())
    os._exit(0)


def _restore(prefix: str) -> Read:
    def read(name: str, dtype: int) -> Any:
        import tensorflow as tf

        wanted = [tf.dtypes.as_dtype(dtype)]
        (found,) = tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=wanted)
        return found.numpy()

    return read


def _look(prefix: str) -> Read:
    def read(name: str, dtype: int) -> Any:
        from tensorflow.python.training import py_checkpoint_reader

        reader = py_checkpoint_reader.NewCheckpointReader(prefix)
        value = reader.get_tensor(name)
        if reader.get_variable_to_dtype_map()[name].as_datatype_enum != dtype:
            raise TypeError
        return value

    return read


def _verdict(read: Read, name: str, dtype: int) -> str:
    try:
        return digest(read(name, dtype))
    except Exception:
        return ERROR


if __name__ == "__main__":
    print(json.dumps(serve(sys.argv[1])))
