"""Running a script in this process as ``python SCRIPT`` would run it in one of its own."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType

import tfbundle.compat
from tfbundle.compat.placeholders import StandInError

_PACKAGE = os.path.dirname(os.path.dirname(tfbundle.compat.__file__))
FAILED, INTERRUPTED = 1, 130


class ScriptStoppedError(Exception):
    """A script used something that is not stood in for, and did not deal with it.

    Attributes:
        line: what that was, and where.
    """

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line


def run_script(path: str, arguments: Sequence[str]) -> int:
    """Run a script as the main module of this process, and return its exit status.

    Args:
        path: of a file, or of a directory or zip file with a ``__main__.py``.
        arguments: of its command line.

    Raises:
        ValueError: there is no such file.
        SystemExit: the script leaves the process.
        ScriptStoppedError: it used something that is not stood in for.
    """
    if not os.path.exists(path):
        raise ValueError(f"can't open file {os.path.abspath(path)!r}: No such file or directory")
    sys.argv[:] = [path, *arguments]
    if os.path.isdir(path) or (not path.endswith(".py") and _is_archive(path)):
        return _run(lambda: runpy.run_path(path, run_name="__main__"))
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    absolute = os.path.join(os.getcwd(), path)
    module = _make_main(absolute)
    with io.open_code(absolute) as file:
        source = file.read()
    return _run(lambda: exec(compile(source, absolute, "exec", dont_inherit=True), module.__dict__))  # noqa: S102


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Run a module as ``python -m`` does, and return its exit status.

    Raises:
        ValueError: there is no such module.
        SystemExit, ScriptStoppedError: as ``run_script``.
    """
    sys.argv[:] = [name, *arguments]
    _set_first_path(os.getcwd())
    if not _is_module(name):
        raise ValueError(f"No module named {name}")
    return _run(lambda: runpy.run_module(name, run_name="__main__", alter_sys=True))


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a package it would be in
        return False


def _is_archive(path: str) -> bool:
    import zipfile

    return zipfile.is_zipfile(path)


def _set_first_path(directory: str) -> None:
    """Put a directory where the one stands that this package was started from."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = directory


def _make_main(path: str) -> ModuleType:
    """Return a new main module, as the interpreter makes it for a script."""
    module = ModuleType("__main__")
    loader = SourceFileLoader("__main__", path)
    module.__dict__.update(__builtins__=builtins, __file__=path, __cached__=None, __loader__=loader)
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    return module


def _run(body: Callable[[], object]) -> int:
    try:
        body()
    except SystemExit:
        raise
    except StandInError as error:
        raise ScriptStoppedError(f"{_place(error.__traceback__)}{error}") from error
    except BaseException as error:
        error.__traceback__ = _own(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
    return 0


def _own(trace: TracebackType | None) -> TracebackType | None:
    """Return what of a traceback is the script's."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    return trace


def _place(trace: TracebackType | None) -> str:
    """Return file and line where a script used something, as the beginning of a message."""
    frames = [each for each in traceback.extract_tb(trace) if not each.filename.startswith((_PACKAGE, "<frozen"))]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
