"""The header of a ``.npy`` file, which may be damaged or hostile.

Magic, version, length of the text, and the text: a Python dictionary of dtype, order and shape, padded with spaces so
that the array begins at a multiple of 64 bytes.

Source: ``numpy.lib.format``, versions 1.0 and 2.0.
"""

from __future__ import annotations

import math
import struct
import warnings
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np

from tfbundle.errors import FormatError, UnsupportedError

MAX_HEADER_NBYTES = 1 << 16
"""What is read of a file to find its header; numpy itself reads no text of more than 10,000 bytes."""

NPY_MAGIC = b"\x93NUMPY"

_ALIGNMENT = 64
_MOST_SHORT = 0xFFFF  # bytes of text in version 1.0
_MOST_ELEMENTS = 2**63 - 1


class NpyHeader(NamedTuple):
    """What a header says.

    Attributes:
        shape: size of each dimension.
        in_columns: whether the first dimension varies fastest, as in Fortran.
        dtype: of the elements, with their byte order.
        offset: where the array begins, in bytes from the start of the file.
    """

    shape: tuple[int, ...]
    in_columns: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_npy_header(start: bytes) -> NpyHeader:
    """Parse the header at the start of a file; ``MAX_HEADER_NBYTES`` of it are enough.

    Raises:
        FormatError: it is none.
        UnsupportedError: another version, or an array of Python objects, which only unpickling would read.

    Example:
        >>> parse_npy_header(encode_npy_header("<f4", (2, 3))).shape
        (2, 3)
    """
    if not start.startswith(NPY_MAGIC):
        raise FormatError("no .npy file: numpy.save makes one")
    stream = _Bytes(start)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise UnsupportedError(f"a .npy file of version {version[0]}.{version[1]}, expected 1.0 or 2.0")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote, which are read all the same
            shape, in_columns, dtype = read(stream)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as error:
        raise FormatError(f"a .npy file with a damaged header: {_first_line(error)}") from error
    if any(not 0 <= size <= _MOST_ELEMENTS for size in shape) or math.prod(shape) > _MOST_ELEMENTS:
        raise FormatError("a .npy file with a damaged header: a shape that no array has")
    if dtype.hasobject:
        raise UnsupportedError("holds pickled Python objects; save text as an array of dtype S or U")
    return NpyHeader(shape, in_columns, dtype, stream.position)


def encode_npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Encode the header of an array in C order.

    Args:
        descr: its dtype, as ``numpy.dtype.str`` has it.
        shape: size of each dimension.

    Example:
        >>> len(encode_npy_header("<f4", (2, 3)))
        128
    """
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    head_nbytes = 10 if len(text) + _ALIGNMENT <= _MOST_SHORT else 12
    nbytes = -(-(head_nbytes + len(text) + 1) // _ALIGNMENT) * _ALIGNMENT - head_nbytes
    version = b"\1\0" + struct.pack("<H", nbytes) if head_nbytes == 10 else b"\2\0" + struct.pack("<I", nbytes)
    return NPY_MAGIC + version + text.encode("ascii").ljust(nbytes - 1) + b"\n"


class _Bytes:
    """Bytes that are read from first to last, as numpy reads a header."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def read(self, nbytes: int = -1, /) -> bytes:
        piece = self._data[self.position : self.position + nbytes]
        self.position += len(piece)
        return piece


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
