"""``tf.io.gfile.GFile``: a file that is opened when it is first read or written.

Source: TensorFlow ``python/lib/io/file_io.py`` (``FileIO``), ``core/lib/io/buffered_inputstream.cc``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from tfbundle.compat.file_errors import translated
from tfbundle.compat.gfile import stat
from tfbundle.compat.globbing import local_path
from tfbundle.compat.op_errors import (
    InvalidArgumentError,
    OutOfRangeError,
    PermissionDeniedError,
)
from tfbundle.compat.text import as_bytes, as_str_any, path_to_bytes

_MODES = ("r", "w", "a", "r+", "w+", "a+")


class GFile:
    """A file of the local file system. Not thread-safe; a context manager.

    Text is UTF-8; positions and sizes count bytes. What is written goes to one stream and what is read comes from
    another, as in TensorFlow. Errors come when the file is first read or written.

    Attributes:
        name: as given.
        mode: as given.

    Example:
        >>> import tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "names.txt")
        >>> with GFile(path, "w") as file:
        ...     file.write("weights")
        >>> GFile(path).readlines()
        ['weights']
    """

    def __init__(self, name: Any, mode: str = "r") -> None:
        plain = mode.replace("b", "")
        if plain not in _MODES:
            raise InvalidArgumentError(None, None, "mode is not 'r' or 'w' or 'a' or 'r+' or 'w+' or 'a+'")
        self.name = name
        self.mode = mode
        self._is_binary = "b" in mode
        self._may_read = plain not in ("w", "a")
        self._may_write = plain != "r"
        self._source: BinaryIO | None = None
        self._target: BinaryIO | None = None

    @property
    def _path(self) -> str:
        return local_path(os.fsdecode(path_to_bytes(self.name)))

    def _reading(self) -> BinaryIO:
        if self._source is None:
            if not self._may_read:
                raise PermissionDeniedError(None, None, "File isn't open for reading")
            with translated(self._path):
                self._source = open(self._path, "rb")  # noqa: SIM115 open until ``close``
        return self._source

    def _writing(self) -> BinaryIO:
        if self._target is None:
            if not self._may_write:
                raise PermissionDeniedError(None, None, "File isn't open for writing")
            with translated(self._path):
                self._target = open(self._path, "ab" if "a" in self.mode else "wb")  # noqa: SIM115
        return self._target

    def _prepare(self, data: bytes) -> Any:
        return data if self._is_binary else as_str_any(data)

    def size(self) -> int:
        """Return the size of the file in bytes."""
        return stat(self.name).length

    def read(self, n: int = -1) -> Any:
        """Return the next bytes, or those up to the end, as text unless the mode is binary."""
        if n < -1:
            raise InvalidArgumentError(None, None, f"Can't read a negative number of bytes: {n}")
        source = self._reading()
        with translated(self._path):
            return self._prepare(source.read(n))

    def readline(self) -> Any:
        """Return the next line with its end; nothing at the end of the file."""
        source = self._reading()
        with translated(self._path):
            return self._prepare(source.readline())

    def readlines(self) -> list[Any]:
        """Return the lines that follow."""
        return list(self)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__

    def seek(self, offset: int | None = None, whence: int = 0, position: int | None = None) -> None:
        """Go on reading elsewhere: from the start of the file (0), from here (1) or from its end (2) on.

        Raises:
            OutOfRangeError: that is beyond the end, where reading then goes on.
        """
        source = self._reading()
        chosen = position if offset is None else offset
        if chosen is None:
            raise TypeError("seek(): offset argument required")
        if whence not in (0, 1, 2):
            raise InvalidArgumentError(None, None, f"Invalid whence argument: {whence}. Valid values are 0, 1, or 2.")
        place = chosen + (0, source.tell(), self.size())[whence] if whence else chosen
        if place < 0:
            raise InvalidArgumentError(None, None, f"Seeking to a negative position: {place}")
        source.seek(min(place, self.size()))
        if place > self.size():
            raise OutOfRangeError(None, None, "reached end of file")

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._reading().tell() if self._may_read else self._writing().tell()

    def write(self, file_content: str | bytes) -> None:
        """Append text or bytes."""
        target = self._writing()
        with translated(self._path):
            target.write(as_bytes(file_content))

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if self._target is not None:
            with translated(self._path):
                self._target.flush()

    def close(self) -> None:
        """Release the file; reading or writing opens it again."""
        source, target = self._source, self._target
        self._source = self._target = None
        if source is not None:
            source.close()
        if target is not None:
            with translated(self._path):
                target.close()

    def seekable(self) -> bool:
        """Return True."""
        return True

    def __enter__(self) -> GFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_source", None) is not None or getattr(self, "_target", None) is not None:
            self.close()
