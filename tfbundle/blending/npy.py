"""Arrays from ``.npy`` files, which may be damaged or hostile.

Source: ``numpy.lib.format``, versions 1.0 and 2.0.
"""

from __future__ import annotations

import io
import math
import warnings
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError, TruncatedError, UnsupportedError
from tfbundle.storage.base import ReadableFile, Storage

_MAX_HEADER_NBYTES = 1 << 16
_MAGIC = b"\x93NUMPY"
_ARCHIVE = b"PK"


def read_npy(path: str, storage: Storage) -> NDArray[Any]:
    """Read the array of a ``.npy`` file; it is the only thing held in memory.

    Raises:
        BundleNotFoundError: there is no such file.
        FormatError: it is no such file, is cut off, or goes on after the array.
        UnsupportedError: it holds Python objects, or is an archive.
    """
    file = storage.open(path)
    try:
        return _read(file)
    finally:
        file.close()


def _read(file: ReadableFile) -> NDArray[Any]:
    start = file.read(0, min(file.nbytes, _MAX_HEADER_NBYTES))
    if start.startswith(_ARCHIVE):
        raise UnsupportedError("an archive of arrays; save the one that is wanted with numpy.save", file.path)
    if not start.startswith(_MAGIC):
        raise FormatError("no .npy file: numpy.save makes one", file.path)
    shape, in_columns, dtype, offset = _parse_header(start, file.path)
    if dtype.hasobject:
        raise UnsupportedError("holds pickled Python objects; save text as an array of dtype S or U", file.path)
    nbytes = math.prod(shape) * dtype.itemsize
    if offset + nbytes != file.nbytes:
        kind = TruncatedError if offset + nbytes > file.nbytes else FormatError
        raise kind(
            f"the array {list(shape)} of {dtype} takes {nbytes} bytes, {file.nbytes - offset} are there", file.path
        )
    data = np.empty(nbytes, np.uint8)
    file.read_into(offset, data.data)
    try:
        return np.ndarray(shape, dtype, data.data, order="F" if in_columns else "C")
    except (ValueError, OverflowError) as error:  # more dimensions than numpy has, or sizes beyond it
        raise UnsupportedError(f"an array of shape {list(shape)}: {error}", file.path) from error


def _parse_header(start: bytes, path: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether columns come first, dtype, and where the array begins."""
    stream = io.BytesIO(start)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise UnsupportedError(f"a .npy file of version {version[0]}.{version[1]}, expected 1.0 or 2.0", path)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote, which are read all the same
            shape, in_columns, dtype = read(stream)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as error:
        raise FormatError(f"a .npy file with a damaged header: {_first_line(error)}", path) from error
    if any(size < 0 for size in shape):
        raise FormatError(f"a .npy file with a damaged header: shape {list(shape)}", path)
    return shape, in_columns, dtype, stream.tell()


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
