"""A directory of ``.npy`` files to be, with a list that says which tensor is in which file.

No file has a tensor's name as it is: file names have letters, digits and a few signs, are short, and differ in more
than the case of letters. The list, ``tensors.json``, is what tells the names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.exporters.frame import Frame, Outgoing, Piece
from tfbundle.exporters.npz_frame import MEMBER_SUFFIX, descr_of
from tfbundle.format.npy import encode_npy_header
from tfbundle.storage.base import Storage
from tfbundle.storage.paths import join

LIST_NAME = "tensors.json"
MAX_LIST_NBYTES = 64 << 20

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_MOST_CHARACTERS = 120
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,199}\.npy", re.ASCII)


def frame_npy(directory: str, tensors: Sequence[Outgoing], metadata: Mapping[str, str]) -> Frame:
    """Lay out a directory.

    Args:
        directory: its path.
        tensors: what it is to hold.
        metadata: text that the list carries.

    Raises:
        UnsupportedError: the list would be larger than an import reads.
    """
    listed: dict[str, dict[str, Any]] = {}
    paths: list[str] = []
    nbytes: list[int] = []
    pieces: list[Piece] = []
    taken: dict[str, int] = {}
    for number, tensor in enumerate(tensors):
        name = _file_name(tensor.name, taken)
        head = encode_npy_header(descr_of(tensor.dtype), tensor.shape)
        listed[tensor.name] = {"file": name, "dtype": tensor.dtype.name, "shape": list(tensor.shape)}
        paths.append(join(directory, name))
        nbytes.append(len(head) + tensor.nbytes)
        pieces.append(Piece(number, 0, head))
    offsets = np.array([len(piece.data) for piece in pieces], np.int64)
    text = json.dumps({"tensors": listed, "metadata": dict(metadata)}, indent=1).encode() + b"\n"
    if len(text) > MAX_LIST_NBYTES:
        raise UnsupportedError(f"{LIST_NAME} would take {len(text)} bytes, and import reads {MAX_LIST_NBYTES} at most")
    pieces.append(Piece(len(paths), 0, text))
    paths.append(join(directory, LIST_NAME))
    return Frame(paths, [*nbytes, len(text)], np.arange(len(tensors), dtype=np.int32), offsets, pieces)


def _file_name(name: str, taken: dict[str, int]) -> str:
    """Return the name of the file for a tensor, unlike all others.

    Args:
        name: of the tensor.
        taken: for each name that was given, in small letters, the number that the next one like it tries.
    """
    readable = _UNSAFE.sub("_", name.replace("/", "."))[:_MOST_CHARACTERS]
    base = re.sub(r"^[.-]+", "_", readable) or "_"
    number = taken.get(base.lower(), 1)
    while (found := base if number == 1 else f"{base}~{number}").lower() in taken:
        number += 1
    taken[base.lower()] = number + 1
    taken[found.lower()] = taken.get(found.lower(), 2)
    return found + MEMBER_SUFFIX


def is_plain_file(name: str) -> bool:
    """Tell whether a list may give this as the name of a file: one in the same directory, and an array.

    Example:
        >>> is_plain_file("dense.kernel.npy"), is_plain_file("../kernel.npy")
        (True, False)
    """
    return _PLAIN.fullmatch(name) is not None


def find_npy(directory: str, storage: Storage) -> list[str]:
    """Return the files that are there of an earlier export to a directory, the list first; others are not its own."""
    from tfbundle.exporters.npy_list import read_list

    path = join(directory, LIST_NAME)
    if not storage.exists(path):
        return []
    try:
        files: Collection[str] = read_list(path, storage).files
    except FormatError:
        files = ()
    return [path, *(here for name in sorted(files) if storage.exists(here := join(directory, name)))]
