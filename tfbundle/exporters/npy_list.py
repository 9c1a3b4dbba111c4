"""The list in a directory of ``.npy`` files: which tensor is in which file, and what dtype it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfbundle.errors import FormatError
from tfbundle.exporters.npy_frame import MAX_LIST_NBYTES, is_plain_file
from tfbundle.storage.base import Storage


@dataclass(frozen=True)
class NpyList:
    """What a list says.

    Attributes:
        files: name of each tensor, by the name of its file.
        dtypes: dtype of each tensor that has one in the list, by the tensor's name.
        metadata: text that goes with them.
    """

    files: Mapping[str, str]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str]


def read_list(path: str, storage: Storage) -> NpyList:
    """Read a list.

    Raises:
        BundleNotFoundError: there is none.
        FormatError: it is damaged, or names a file that is not in its directory.
    """
    file = storage.open(path)
    try:
        if file.nbytes > MAX_LIST_NBYTES:
            raise FormatError(f"{file.nbytes} bytes are too many for a list, expected at most {MAX_LIST_NBYTES}")
        return _parse_list(read_json(file.read(0, file.nbytes)))
    except FormatError as error:
        raise error.add_path(path) from error
    finally:
        file.close()


def _parse_list(value: Any) -> NpyList:
    tensors = value.get("tensors") if isinstance(value, dict) else None
    if not isinstance(tensors, dict):
        raise FormatError('no list of tensors, expected {"tensors": {name: {"file": ..., "dtype": ...}, ...}}')
    files: dict[str, str] = {}
    dtypes: dict[str, str] = {}
    for name, described in tensors.items():
        file = described.get("file") if isinstance(described, dict) else None
        if not isinstance(file, str) or not is_plain_file(file):
            raise FormatError(f"file {file!r}, expected the name of a .npy file beside it", "", f"tensor {name!r}")
        if file in files:
            raise FormatError(f"file {file!r} is that of {files[file]!r} already", "", f"tensor {name!r}")
        files[file] = name
        if isinstance(described.get("dtype"), str):
            dtypes[name] = described["dtype"]
    return NpyList(files, dtypes, check_metadata(value.get("metadata", {})))


def check_metadata(value: Any) -> dict[str, str]:
    """Return metadata, which is text by text.

    Raises:
        FormatError: it is something else.
    """
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise FormatError("metadata is no object of text to text")
    return value


def read_json(data: bytes) -> Any:
    """Return what JSON says, of any kind.

    Raises:
        FormatError: it is none, or lists a name twice.
    """

    def unite(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        united = dict(pairs)
        if len(united) < len(pairs):
            raise FormatError("JSON that lists a name twice")
        return united

    try:
        value = json.loads(data, object_pairs_hook=unite)
        json.dumps(value, ensure_ascii=False).encode()
    except FormatError:
        raise
    except ValueError as error:  # numbers of too many digits and halves of surrogate pairs, too
        raise FormatError(f"no JSON: {error}") from error
    except RecursionError as error:
        raise FormatError("JSON that is nested too deep") from error
    return value
