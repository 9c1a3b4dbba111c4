"""The errors that TensorFlow raises, as classes of the same names and the same tree.

Source: TensorFlow ``python/framework/errors_impl.py``, ``core/lib/core/error_codes.proto``.
"""

from __future__ import annotations

from typing import Any

CODES = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}


class OpError(Exception):
    """The base of all of them.

    Attributes:
        node_def: the operation's definition; None where there is no operation, which here is always.
        op: the operation, None as well.
        message: what went wrong.
        error_code: which kind of error it is, one of ``CODES``.
        experimental_payloads: further details.

    Example:
        >>> NotFoundError(None, None, "Key w not found in checkpoint").error_code == CODES["NOT_FOUND"]
        True
    """

    _code: int | None = None

    def __init__(self, node_def: Any, op: Any, message: str, error_code: int, *payloads: Any) -> None:
        super().__init__()
        self.node_def = node_def
        self.op = op
        self.message = message
        self.error_code = error_code
        self.experimental_payloads = payloads[0] if payloads else {}

    def __reduce__(self) -> tuple[type[OpError], tuple[Any, ...]]:
        code = () if self._code is not None else (self.error_code,)
        return type(self), (self.node_def, self.op, self.message, *code)

    def __str__(self) -> str:
        return self.message


class _CodedError(OpError):
    """An error whose class tells its code."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, self._code or 0, *payloads)


def _error(name: str, code: str) -> type[_CodedError]:
    """Return the class for a code, as a direct child of OpError in all but the constructor."""
    text = f"An error with the code ``{code}``."
    return type(name, (_CodedError,), {"_code": CODES[code], "__doc__": text, "__module__": __name__})


CancelledError = _error("CancelledError", "CANCELLED")
UnknownError = _error("UnknownError", "UNKNOWN")
InvalidArgumentError = _error("InvalidArgumentError", "INVALID_ARGUMENT")
DeadlineExceededError = _error("DeadlineExceededError", "DEADLINE_EXCEEDED")
NotFoundError = _error("NotFoundError", "NOT_FOUND")
AlreadyExistsError = _error("AlreadyExistsError", "ALREADY_EXISTS")
PermissionDeniedError = _error("PermissionDeniedError", "PERMISSION_DENIED")
UnauthenticatedError = _error("UnauthenticatedError", "UNAUTHENTICATED")
ResourceExhaustedError = _error("ResourceExhaustedError", "RESOURCE_EXHAUSTED")
FailedPreconditionError = _error("FailedPreconditionError", "FAILED_PRECONDITION")
AbortedError = _error("AbortedError", "ABORTED")
OutOfRangeError = _error("OutOfRangeError", "OUT_OF_RANGE")
UnimplementedError = _error("UnimplementedError", "UNIMPLEMENTED")
InternalError = _error("InternalError", "INTERNAL")
UnavailableError = _error("UnavailableError", "UNAVAILABLE")
DataLossError = _error("DataLossError", "DATA_LOSS")

_CLASSES = {kind._code or 0: kind for kind in _CodedError.__subclasses__()}


class OperatorNotAllowedInGraphError(TypeError):
    """Never raised here; scripts catch it."""


def exception_type_from_error_code(error_code: int) -> type[OpError]:
    """Return the class of the errors with a code.

    Raises:
        KeyError: there is none.
    """
    return _CLASSES[error_code]


def error_code_from_exception_type(cls: Any) -> int:
    """Return the code of the errors of a class.

    Raises:
        KeyError: they have none in common.
    """
    return {kind: code for code, kind in _CLASSES.items()}[cls]


def __getattr__(name: str) -> int:
    if name not in CODES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return CODES[name]
