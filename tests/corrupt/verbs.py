"""Every reading verb over one checkpoint, in a process that has little memory and must not take long.

Run as a module, reads lines ``["directory", "path", ["tensor"], thorough]``, and answers each with what became of it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from typing import Any

import numpy as np

import tfbundle
from tests.support.handmade import HandmadeBundle, floats
from tfbundle.cli import main
from tfbundle.errors import BundleError

USAGE: dict[str, tuple[type[Exception], str]] = {
    "ls PAT": (ValueError, "matches none"),
    "show --where": (IndexError, "out of bounds"),
    "halve --like": (ValueError, " wants "),
}
"""What a sound checkpoint may be answered with, because the question does not fit it."""

ADDRESS_NBYTES = 1 << 30
"""What a verb may map beyond what the process has: an array of a terabyte fails, instead of being promised."""

Verb = Callable[[str, str], "list[str]"]


def verbs() -> dict[str, Verb]:
    """Return the command line of each verb, given the source and a directory for the output."""
    return {
        "ls": lambda src, _: ["ls", src],
        "ls --json": lambda src, _: ["ls", "--json", src],
        "ls --tree": lambda src, _: ["ls", "--tree", src],
        "ls PAT": lambda src, _: ["ls", src, "t*"],
        "show": lambda src, _: ["show", src, "t"],
        "show --where": lambda src, _: ["show", src, "t", "--where", "0"],
        "verify": lambda src, _: ["verify", src],
        "stats": lambda src, _: ["stats", src, "--jobs", "1"],
        "halve": lambda src, out: ["halve", src, f"{out}/halve/m", "--jobs", "1"],
        "halve renamed": lambda src, out: ["halve", src, f"{out}/renamed/m", "--jobs", "1", "--add-prefix", "p/"],
        "halve --drop": lambda src, out: ["halve", src, f"{out}/dropped/m", "--jobs", "1", "--optimizer", "drop"],
        "cast": lambda src, out: ["cast", src, f"{out}/cast/m", "--jobs", "1", "--to", "float64"],
        "merge": lambda src, out: ["merge", src, f"{out}/healthy/m", f"{out}/merge/m", "--jobs", "1"],
        "merge --link": lambda src, out: ["merge", src, f"{out}/healthy/m", f"{out}/link/m", "--link"],
        "merge with itself": lambda src, out: ["merge", src, src, f"{out}/twice/m", "--jobs", "1"],
        "average": lambda src, out: ["average", src, src, f"{out}/average/m"],
        "diff": lambda src, _: ["diff", src, src],
        "diff --quick": lambda src, _: ["diff", "--quick", src, src],
        "diff healthy": lambda src, out: ["diff", src, f"{out}/healthy/m"],
        "export": lambda src, out: [
            "export",
            src,
            f"{out}/safetensors/m.safetensors",
            "--jobs",
            "1",
            "--skip-unsupported",
        ],
        "export npz": lambda src, out: ["export", src, f"{out}/npz/m.npz", "--jobs", "1", "--skip-unsupported"],
        "export npy": lambda src, out: ["export", src, f"{out}/npy/", "--skip-unsupported", "--names", "paths"],
        "salvage": lambda src, out: ["salvage", src, f"{out}/salvage/m", "--jobs", "1"],
        "set": lambda src, out: ["set", src, "v", f"{out}/v.npy", "--output", f"{out}/set/m"],
        "halve --like": lambda src, out: ["halve", f"{out}/alike/m", f"{out}/like/m", "--jobs", "1", "--like", src],
    }


VARIANTS = {
    "ls --json",
    "ls PAT",
    "show --where",
    "halve renamed",
    "halve --drop",
    "cast",
    "merge --link",
    "merge with itself",
    "diff --quick",
    "diff healthy",
    "halve --like",
    "export npz",
    "export npy",
}
"""What else the campaign runs."""

OUTPUTS = {
    "merge": "merge/m",
    "merge --link": "link/m",
    "average": "average/m",
    "salvage": "salvage/m",
}
"""Verbs that leave the values of tensors as they are, and where."""


def prepare(directory: str) -> None:
    """Write what some verbs need beside the hostile checkpoint."""
    HandmadeBundle([floats("healthy", [1, 2, 3])]).write(f"{directory}/healthy/m")
    HandmadeBundle([floats("t", [[1, 2, 3], [4, 5, 6]]), floats("v", [1, 2])]).write(f"{directory}/alike/m")
    np.save(f"{directory}/v.npy", np.array([3, 4], np.float32))


def run_case(directory: str, source: str, tensors: list[str], *, thorough: bool) -> dict[str, Any]:
    """Run every verb, if ``thorough`` in every way; return what became of each verb, and what reading gave."""
    prepare(directory)
    before = listing(directory)
    results: dict[str, Any] = {"read": measured(lambda: read(source, tensors))}
    for name, verb in verbs().items():
        if name in VARIANTS and not thorough:
            continue
        results[name] = measured(partial(command, verb(source, directory)), *USAGE.get(name, ()))
        output = os.path.join(directory, OUTPUTS[name]) if name in OUTPUTS else ""
        if output and results[name].get("found", {}).get("status") in (0, 1) and os.path.exists(f"{output}.index"):
            results[name]["output"] = measured(partial(read, output, tensors))
        left = sorted(path for path in listing(directory) - before if ".tmp-" in path)
        if results[name].get("refused") is not None or left:
            results[name]["left"] = left or sorted(listing(directory) - before)
        for path in listing(directory) - before:
            if os.path.isdir(full := os.path.join(directory, path)):
                shutil.rmtree(full, ignore_errors=True)
    return results


def listing(directory: str) -> set[str]:
    """Return everything below a directory."""
    return {
        os.path.relpath(os.path.join(root, name), directory)
        for root, directories, files in os.walk(directory)
        for name in directories + files
    }


def read(source: str, tensors: list[str]) -> dict[str, Any]:
    """Open a checkpoint and read some of its tensors."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    with tfbundle.open(source) as bundle:
        list(bundle)
        for name in tensors:
            try:
                bundle.entries[name]
                value = bundle[name]
            except BundleError as error:  # noqa: PERF203
                errors[name] = str(error)
            else:
                whole = value.reshape(-1).tolist() if value.dtype == object else None
                values[name] = value.tobytes().hex() if whole is None else [item.hex() for item in whole]
    return {"values": values, "errors": errors}


def command(arguments: list[str]) -> dict[str, Any]:
    """Run a command in this process, its errors raised."""
    output, errors = StringIO(), StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = main([*arguments, "--debug"])
    unprintable = {char for char in output.getvalue() + errors.getvalue() if not char.isprintable()} - {"\n"}
    return {"status": status, "unprintable": sorted(unprintable), "nbytes": len(output.getvalue())}


def measured(
    act: Callable[[], dict[str, Any]], usage: type[Exception] = BundleError, phrase: str = ""
) -> dict[str, Any]:
    """Run something; say how long it took, how much memory, and with which error it ended."""
    resident = reset_peak()
    start = time.process_time()
    result: dict[str, Any] = {}
    try:
        result["found"] = act()
    except BundleError as error:
        result["refused"] = str(error)
        result["kind"] = type(error).__name__
    except Exception as error:
        if not isinstance(error, usage) or phrase not in str(error):
            result["foreign"] = traceback.format_exc()
    result["seconds"] = time.process_time() - start
    result["nbytes"] = peak() - resident
    return result


def reset_peak() -> int:
    """Forget the peak of the memory that was resident so far; return what is resident now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return peak()


def peak() -> int:
    """Return the most memory that was resident since the last reset."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def limit() -> None:
    """Let nothing map much more, nor run for long, nor leave a core."""
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_NBYTES, mapped + ADDRESS_NBYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))


def serve() -> None:
    """Answer each line in a child of its own."""
    warm_up()
    for line in sys.stdin:
        directory, source, tensors, thorough = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            limit()
            with os.fdopen(writer, "w") as file:
                json.dump(run_case(directory, source, tensors, thorough=thorough), file)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as file:
            answer = file.read()
        _, status = os.waitpid(child, 0)
        print(answer or json.dumps({"died": os.waitstatus_to_exitcode(status)}), flush=True)


def warm_up() -> None:
    """Import everything that any verb imports, so that it counts for none."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        HandmadeBundle([floats("t", [1, 2]), floats("v", [1, 2])]).write(f"{directory}/m")
        run_case(directory, f"{directory}/m", ["t", "v"], thorough=True)


if __name__ == "__main__":
    serve()
