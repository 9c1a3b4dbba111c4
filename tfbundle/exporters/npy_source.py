"""Arrays of ``.npy`` files: one, or a directory of them with or without a list of names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import numpy as np

from tfbundle.errors import BundleNotFoundError, FormatError, TruncatedError, UnsupportedError
from tfbundle.exporters.arrays import RAW, Incoming, Source, SourceFile
from tfbundle.exporters.npy_frame import LIST_NAME
from tfbundle.exporters.npy_list import NpyList, read_list
from tfbundle.exporters.npz_frame import MEMBER_SUFFIX
from tfbundle.format.dtypes import STRING, DataType, data_type_of, named_data_type
from tfbundle.format.npy import MAX_HEADER_NBYTES, NpyHeader, parse_npy_header
from tfbundle.storage import paths
from tfbundle.storage.base import Storage


def open_npy(path: str, storage: Storage) -> Source:
    """Return what a ``.npy`` file holds, under its own name."""
    stem = paths.basename(path).removesuffix(MEMBER_SUFFIX)
    return _open_files(path, stem, {path: stem}, NpyList({}, {}, {}), storage)


def open_npy_directory(directory: str, storage: Storage) -> Source:
    """Return what a directory of ``.npy`` files holds: what its list names, or all of them, under the files' names.

    Raises:
        BundleNotFoundError: a file is missing.
        FormatError: the list, or a file, is damaged.
    """
    path = paths.join(directory, LIST_NAME)
    if storage.exists(path):
        listed = read_list(path, storage)
    else:
        names = [name for name in storage.list_directory(directory) if name.endswith(MEMBER_SUFFIX)]
        listed = NpyList({name: name.removesuffix(MEMBER_SUFFIX) for name in names}, {}, {})
    stem = paths.basename(storage.absolute(directory).rstrip("/"))
    files = {paths.join(directory, file): name for file, name in listed.files.items()}
    return _open_files(directory, stem, files, listed, storage)


def _open_files(path: str, stem: str, files: Mapping[str, str], listed: NpyList, storage: Storage) -> Source:
    found = [SourceFile.find(file, storage) for file in files]
    arrays: list[Incoming] = []
    others: dict[str, str] = {}
    for file, name in zip(found, files.values(), strict=True):
        array, why_not = _describe_file(name, listed.dtypes.get(name, ""), file, storage)
        if array is None:
            others[name] = why_not
        else:
            arrays.append(array)
    return Source(path, stem, tuple(found), arrays, others, listed.metadata)


def _describe_file(name: str, wanted: str, file: SourceFile, storage: Storage) -> tuple[Incoming | None, str]:
    """Return what a file says of its array; or why this can be no tensor."""
    try:
        header = _read_header(file, storage)
        dtype = element_type(header, wanted)
    except UnsupportedError as error:
        if error.path:  # of the file as a whole
            raise
        return None, error.reason
    except BundleNotFoundError as error:
        raise BundleNotFoundError("No such file or directory", file.path) from error
    except FormatError as error:
        raise error.add_path(file.path) from error
    return describe(name, dtype, header, file)._replace(offset=header.offset), ""


def _read_header(file: SourceFile, storage: Storage) -> NpyHeader:
    with closing(file.open(storage)) as opened:
        header = parse_npy_header(opened.read(0, min(opened.nbytes, MAX_HEADER_NBYTES)))
        check_size(header, opened.nbytes)
        return header


def check_size(header: NpyHeader, nbytes: int) -> None:
    """Check that a file has just the bytes that its header speaks of.

    Raises:
        FormatError: it has not.
    """
    if header.offset + header.nbytes != nbytes:
        kind = TruncatedError if header.offset + header.nbytes > nbytes else FormatError
        there = nbytes - header.offset
        raise kind(f"an array of {header.dtype} takes {header.nbytes} bytes, {there} are there")


def describe(name: str, dtype: DataType, header: NpyHeader, file: SourceFile) -> Incoming:
    """Return what a header says of an array."""
    swap = 1 if header.dtype.isnative else dtype.swap
    return Incoming(name, dtype, header.shape, file, swap=swap, in_columns=header.in_columns)


def element_type(header: NpyHeader, wanted: str = "") -> DataType:
    """Return the element type of an array.

    Args:
        header: what the file says.
        wanted: name of the type that its bits are to be taken for; empty for what numpy takes them for.

    Returns:
        The type; one with the number ``RAW`` where elements are bytes of which nobody says what they are.

    Raises:
        UnsupportedError: there is none for it.
        FormatError: elements of the wanted type have another size.
    """
    dtype = header.dtype
    if wanted:
        element = named_data_type(wanted)
        if dtype.itemsize != element.nbytes or dtype.fields is not None or dtype.kind in "SUmM":
            raise FormatError(f"an array of {dtype} cannot be taken for {wanted}")
        return element
    if dtype.kind == "V" and dtype.fields is None and dtype.subdtype is None:
        return DataType(RAW, "void", dtype.itemsize, dtype.str, native=False)
    element = data_type_of(np.dtype(dtype.newbyteorder("=")))
    if element == STRING:
        raise UnsupportedError("text, which only set makes a string tensor of")
    return element
