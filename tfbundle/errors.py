"""Every error this package raises about the bytes and names it is given.

::

    BundleError(Exception)
    ├─ FormatError(ValueError)              bytes that break the format
    │  ├─ TruncatedError                    fewer bytes than the file promises
    │  └─ ChecksumError                     a crc32c that does not match
    ├─ UnsupportedError(NotImplementedError)  legal, but not something this package handles
    ├─ TensorNotFoundError(KeyError)        no tensor of that name
    ├─ BundleNotFoundError(FileNotFoundError)
    ├─ BundleExistsError(FileExistsError)
    └─ CastError(ArithmeticError)           values that the target dtype cannot hold

Trouble with the machine (a full disk, a missing permission) stays an ``OSError``. All of these take
positional arguments only and pickle, so that they cross process boundaries whole. Code that has no path
at hand raises without one; the ``bundle`` layer adds it with ``add_path``.
"""

from __future__ import annotations

import errno
import re
from typing import TypeVar

_Error = TypeVar("_Error", bound="FormatError")

_MOST_NAMES = 5  # in a message that must stay one line


def escape(text: str) -> str:
    r"""Return text in which everything that is not printable is written as an escape.

    Names come from files, and could otherwise move the cursor or change the title of a terminal.

    Example:
        >>> print(escape("w\x1b[2J\udcff"))
        w\x1b[2J\xff
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape_char(char) for char in text)


def _escape_char(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return ascii(char)[1:-1]


_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"]*:[^/\s@'\"]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*\?)[^\s'\"?]*=[^\s'\"]*")


def mask_credentials(text: str) -> str:
    """Return text in which URLs have neither passwords nor what follows a question mark.

    Example:
        >>> mask_credentials("https://me:secret@host/a.index?token=1: no such file")
        'https://host/a.index?*** no such file'
    """
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1***", _PASSWORD.sub("", text))


class BundleError(Exception):
    """Base of all errors about bundles."""

    def __str__(self) -> str:
        return escape(mask_credentials(self.describe()))

    def describe(self) -> str:
        """Return the one-line message: what, where, expected against found, what to do."""
        return ": ".join(str(arg) for arg in self.args if arg not in ("", None))


class FormatError(BundleError, ValueError):
    """Bytes that break the format.

    Attributes:
        reason: what is wrong, expected against found.
        path: the file, empty while unknown.
        part: which part of the file, such as ``"footer"``, ``"block 3"`` or ``"tensor 'w'"``.
        offset: position in bytes from the start of the file, or None.
    """

    def __init__(self, reason: str, path: str = "", part: str = "", offset: int | None = None) -> None:
        super().__init__(reason, path, part, offset)
        self.reason = reason
        self.path = path
        self.part = part
        self.offset = offset

    def add_path(self: _Error, path: str, part: str = "") -> _Error:
        """Return the same error with its path, and its part where it had none, filled in."""
        found = self.args
        return type(self)(found[0], self.path or path, self.part or part, *found[3:])

    def describe(self) -> str:
        """Return ``path: part: reason (at byte offset)``."""
        where = "" if self.offset is None else f" (at byte {self.offset})"
        return ": ".join(word for word in (self.path, self.part, self.reason) if word) + where


class TruncatedError(FormatError):
    """Fewer bytes than the file promises."""


class ChecksumError(FormatError):
    """A crc32c that does not match.

    Attributes:
        stored: the crc32c in the file, unmasked.
        computed: the crc32c of the bytes that were read.
    """

    def __init__(
        self,
        reason: str,
        path: str = "",
        part: str = "",
        offset: int | None = None,
        stored: int = 0,
        computed: int = 0,
    ) -> None:
        super().__init__(reason, path, part, offset)
        self.args = (reason, path, part, offset, stored, computed)
        self.stored = stored
        self.computed = computed

    def describe(self) -> str:
        """Return the message of FormatError with both checksums, in decimal as TensorFlow prints them."""
        return f"{super().describe()}: stored {self.stored:08d} vs. calculated {self.computed:08d}"


class UnsupportedError(BundleError, NotImplementedError):
    """Something the format allows and this package does not handle.

    Attributes:
        reason: what it is, and what to do instead.
        path: the file, empty while unknown.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def describe(self) -> str:
        """Return ``path: reason``."""
        return ": ".join(word for word in (self.path, self.reason) if word)


class TensorNotFoundError(BundleError, KeyError):
    """No tensor of that name.

    Attributes:
        name: the name that was asked for.
        matches: names in the bundle that look like it.
        path: the bundle's prefix.
        remedy: what would do without it.
    """

    def __init__(self, name: str, matches: tuple[str, ...] = (), path: str = "", remedy: str = "") -> None:
        super().__init__(name, matches, path, remedy)
        self.name = name
        self.matches = matches
        self.path = path
        self.remedy = remedy

    def describe(self) -> str:
        """Return the message with TensorFlow's phrase and the close matches."""
        where = f" {self.path}" if self.path else ""
        hint = f"; did you mean {', '.join(self.matches)}?" if self.matches else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"Key {self.name} not found in checkpoint{where}{hint}{remedy}"


class _PathError(BundleError, OSError):
    """What BundleNotFoundError and BundleExistsError share."""

    _errno = 0

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path
        self.errno, self.strerror, self.filename = self._errno, reason, path  # what an OSError has

    def __reduce__(self) -> tuple[type[_PathError], tuple[str, str]]:
        return type(self), (self.reason, self.path)  # OSError's own would add its filename

    def describe(self) -> str:
        """Return ``path: reason``."""
        return ": ".join(word for word in (self.path, self.reason) if word)


class BundleNotFoundError(_PathError, FileNotFoundError):
    """No bundle, or not all of its files, at that path.

    Attributes:
        reason: what is missing, and what was found instead.
        path: the path that was asked for.
    """

    _errno = errno.ENOENT


class BundleExistsError(_PathError, FileExistsError):
    """The target is there already, or is the source itself.

    Attributes:
        reason: what is in the way, and what would allow it.
        path: the target.
    """

    _errno = errno.EEXIST


class CastError(BundleError, ArithmeticError):
    """Values that the target dtype cannot hold.

    Attributes:
        tensor: name of the tensor with the largest such value.
        count: how many of its values do not fit.
        worst: the largest of them, as a magnitude.
        remedy: the option that would allow it.
        others: names of further tensors with such values.
        dtype: name of the target dtype.
        limits: what it can hold, in words.
    """

    def __init__(
        self,
        tensor: str,
        count: int,
        worst: float,
        remedy: str = "",
        others: tuple[str, ...] = (),
        dtype: str = "float16",
        limits: str = "a maximum of 65504",
    ) -> None:
        super().__init__(tensor, count, worst, remedy, others, dtype, limits)
        self.tensor = tensor
        self.count = count
        self.worst = worst
        self.remedy = remedy
        self.others = others
        self.dtype = dtype
        self.limits = limits

    def describe(self) -> str:
        """Return the message: tensor, count, worst value, other tensors, what to do."""
        more = f" (and in {len(self.others)} more: {', '.join(self.others[:_MOST_NAMES])})" if self.others else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        values = "1 value overflows" if self.count == 1 else f"{self.count} values overflow"
        return (
            f"tensor {self.tensor}: {values} {self.dtype}, largest magnitude {self.worst:.9g} "
            f"against {self.limits}{more}{remedy}"
        )
