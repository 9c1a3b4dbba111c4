"""Exit statuses, and the one line that goes with an error."""

from __future__ import annotations

from tfbundle.cli.output import escape
from tfbundle.errors import (
    BundleError,
    BundleExistsError,
    BundleNotFoundError,
    CastError,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)

DONE, DAMAGED, USAGE, NOT_FOUND, CORRUPT, UNSUPPORTED, REFUSED, IO_FAILED = range(8)
DIFFERENT = DAMAGED  # what was asked for is not so; nothing failed
INTERRUPTED, PIPE_CLOSED = 130, 141

_MOST_CHARACTERS = 10_000  # of an error; twice what the longest path takes

STATUS_TEXTS = {
    DONE: "done",
    DAMAGED: "damage or a difference was found",
    USAGE: "wrong usage",
    NOT_FOUND: "a checkpoint or a tensor was not found, or DST exists already",
    CORRUPT: "a file is corrupt",
    UNSUPPORTED: "a file is of a kind that is not supported",
    REFUSED: "a cast was refused: values do not fit",
    IO_FAILED: "reading or writing failed",
    INTERRUPTED: "interrupted (129 by SIGHUP, 143 by SIGTERM)",
    PIPE_CLOSED: "nobody reads the output any more",
}
"""What the exit statuses mean."""

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (BundleNotFoundError, NOT_FOUND),
    (BundleExistsError, NOT_FOUND),
    (TensorNotFoundError, NOT_FOUND),
    (UnsupportedError, UNSUPPORTED),
    (CastError, REFUSED),
    (FormatError, CORRUPT),
    (ValueError, USAGE),
    (IndexError, USAGE),
    (OSError, IO_FAILED),
    (MemoryError, IO_FAILED),
)


def status_of(error: Exception) -> int | None:
    """Return the exit status for an error, None for one that only a bug can cause."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), None)


def explain_error(error: Exception) -> str:
    """Return an error as one line that is safe to print."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and not isinstance(error, BundleError) and error.strerror:
        paths = " -> ".join(str(path) for path in (error.filename, error.filename2) if path)
        return _shorten(escape(": ".join(filter(None, (paths or _stream_of(error), error.strerror)))))
    return _shorten(escape(str(error)))


def _stream_of(error: OSError) -> str:
    """Name the output that an error without a path is about: nothing but printing fails within this package."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    is_ours = trace is not None and trace.tb_frame.f_globals["__name__"].startswith(__package__)
    return "standard output" if is_ours else ""


def _shorten(text: str) -> str:
    """Leave out the middle of a text that names make longer than anybody reads; what to do stands at its end."""
    rest = len(text) - _MOST_CHARACTERS
    half = _MOST_CHARACTERS // 2
    return text if rest <= 0 else f"{text[:half]} … ({rest:,} characters) … {text[-half:]}"
