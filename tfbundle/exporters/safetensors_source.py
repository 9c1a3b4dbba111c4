"""Tensors of safetensors files: one, or several that an index file lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing

from tfbundle.errors import BundleNotFoundError, FormatError
from tfbundle.exporters.arrays import Incoming, Source, SourceFile
from tfbundle.exporters.forms import DTYPES_OF_SAFETENSORS
from tfbundle.exporters.npy_list import read_json
from tfbundle.exporters.safetensors_frame import INDEX_SUFFIX, MAX_INDEX_NBYTES, SUFFIX
from tfbundle.exporters.safetensors_header import (
    LENGTH_NBYTES,
    SafetensorsHeader,
    StoredTensor,
    decode_header,
    header_nbytes,
)
from tfbundle.format.dtypes import named_data_type
from tfbundle.storage.base import ReadableFile, Storage
from tfbundle.storage.paths import basename, dirname, join

_PLAIN = re.compile(r"[^/\\\0]{1,255}\.safetensors")


def open_safetensors(path: str, storage: Storage) -> Source:
    """Return what one file holds.

    Raises:
        BundleNotFoundError: there is none.
        FormatError: it is damaged.
    """
    file = SourceFile.find(path, storage)
    header, start = _read_header(file, storage)
    arrays, others = _describe_all(header.tensors, file, start)
    return Source(path, basename(path).removesuffix(SUFFIX), (file,), arrays, others, header.metadata)


def open_safetensors_index(path: str, storage: Storage) -> Source:
    """Return what the files hold that an index lists, all beside it.

    Raises:
        BundleNotFoundError: the index is missing, or a file is.
        FormatError: one is damaged, or the files hold other tensors than the index says.
    """
    index = SourceFile.find(path, storage)
    with closing(index.open(storage)) as opened:
        try:
            wanted = _read_places(opened)
        except FormatError as error:
            raise error.add_path(path) from error
    paths = [join(dirname(path), name) for name in sorted(set(wanted.values()))]
    files = [SourceFile.find(each, storage) for each in paths]
    arrays: list[Incoming] = []
    others: dict[str, str] = {}
    metadata: dict[str, str] = {}
    notes: list[str] = []
    found: dict[str, str] = {}
    for file in files:
        header, start = _read_header(file, storage)
        base = basename(file.path)
        for tensor in header.tensors:
            if wanted.get(tensor.name) != base:
                raise FormatError(f"the index does not say that it is in {base}", path, f"tensor {tensor.name!r}")
            found[tensor.name] = base
        notes += _unite(metadata, header.metadata, base)
        here, not_here = _describe_all(header.tensors, file, start)
        arrays += here
        others |= not_here
    for name in wanted.keys() - found.keys():
        raise FormatError(f"is not in {wanted[name]}, as the index says", path, f"tensor {name!r}")
    stem = basename(path).removesuffix(INDEX_SUFFIX)
    return Source(path, stem, (index, *files), arrays, others, metadata, tuple(notes))


def _read_places(file: ReadableFile) -> dict[str, str]:
    """Return the file of each tensor that an index lists."""
    if file.nbytes > MAX_INDEX_NBYTES:
        raise FormatError(f"{file.nbytes} bytes are too many for an index, expected at most {MAX_INDEX_NBYTES}")
    value = read_json(file.read(0, file.nbytes))
    places = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(places, dict):
        raise FormatError('no index of safetensors files, expected {"weight_map": {tensor: file, ...}}')
    for name, base in places.items():
        if not isinstance(base, str) or not _PLAIN.fullmatch(base):
            expected = "expected the name of a .safetensors file beside it"
            raise FormatError(f"file {base!r}, {expected}", "", f"tensor {name!r}")
    return places


def _read_header(file: SourceFile, storage: Storage) -> tuple[SafetensorsHeader, int]:
    """Return the header of a file, and where its payloads begin."""
    try:
        opened = file.open(storage)
    except BundleNotFoundError as error:
        raise BundleNotFoundError("No such file or directory", file.path) from error
    with closing(opened):
        try:
            nbytes = header_nbytes(opened.read(0, min(LENGTH_NBYTES, opened.nbytes)), opened.nbytes)
            start = LENGTH_NBYTES + nbytes
            return decode_header(opened.read(LENGTH_NBYTES, nbytes), opened.nbytes - start), start
        except FormatError as error:
            raise error.add_path(file.path) from error


def _describe_all(tensors: list[StoredTensor], file: SourceFile, start: int) -> tuple[list[Incoming], dict[str, str]]:
    arrays, others = [], {}
    for name, dtype, shape, offset, _ in tensors:
        if dtype in DTYPES_OF_SAFETENSORS:
            arrays.append(Incoming(name, named_data_type(DTYPES_OF_SAFETENSORS[dtype]), shape, file, start + offset))
        else:
            others[name] = f"no {dtype} in TensorFlow"
    return arrays, others


def _unite(metadata: dict[str, str], more: Mapping[str, str], base: str) -> list[str]:
    """Add the metadata of one file to that of those before; say what it has otherwise."""
    others = [key for key, text in more.items() if metadata.setdefault(key, text) != text]
    return [f"metadata {key!r} is another in {base}; that of the first file counts" for key in others]
