"""Arrays from ``.npy`` files, which may be damaged or hostile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError, TruncatedError, UnsupportedError
from tfbundle.format.npy import MAX_HEADER_NBYTES, parse_npy_header
from tfbundle.storage.base import ReadableFile, Storage

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
    except FormatError as error:
        raise error.add_path(path) from error
    except UnsupportedError as error:
        raise UnsupportedError(error.reason, error.path or path) from error
    finally:
        file.close()


def _read(file: ReadableFile) -> NDArray[Any]:
    start = file.read(0, min(file.nbytes, MAX_HEADER_NBYTES))
    if start.startswith(_ARCHIVE):
        raise UnsupportedError("an archive of arrays; save the one that is wanted with numpy.save")
    header = parse_npy_header(start)
    shape, dtype, nbytes = header.shape, header.dtype, header.nbytes
    if header.offset + nbytes != file.nbytes:
        kind = TruncatedError if header.offset + nbytes > file.nbytes else FormatError
        there = file.nbytes - header.offset
        raise kind(f"the array {list(shape)} of {dtype} takes {nbytes} bytes, {there} are there")
    data = np.empty(nbytes, np.uint8)
    file.read_into(header.offset, data.data)
    try:
        return np.ndarray(shape, dtype, data.data, order="F" if header.in_columns else "C")
    except (ValueError, OverflowError) as error:  # more dimensions than numpy has, or sizes beyond it
        raise UnsupportedError(f"an array of shape {list(shape)}: {error}") from error
