"""Text that goes with tensors: in a checkpoint, which has no place for it, a string tensor of its own.

It has the name that safetensors keeps for metadata, so that no tensor from there can have it; its value is a JSON
object of text by text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tfbundle.bundle.reader import BundleReader
from tfbundle.errors import FormatError
from tfbundle.exporters.npy_list import check_metadata, read_json
from tfbundle.exporters.safetensors_header import MAX_HEADER_NBYTES, METADATA_NAME
from tfbundle.format.dtypes import STRING


def holds_metadata(bundle: BundleReader) -> bool:
    """Tell whether the tensor of a bundle that is called like metadata can be that."""
    entry = bundle.entry(METADATA_NAME)
    return entry.dtype == STRING.number and entry.shape == () and not entry.slices and entry.size <= MAX_HEADER_NBYTES


def read_metadata(bundle: BundleReader) -> dict[str, str]:
    """Return the metadata of a bundle.

    Raises:
        FormatError: its tensor is damaged, or says something else.
    """
    try:
        return check_metadata(read_json(bundle[METADATA_NAME].item()))
    except FormatError as error:
        raise error.add_path(bundle.prefix, f"tensor {METADATA_NAME!r}") from error


def encode_metadata(metadata: Mapping[str, str]) -> bytes:
    """Return the value of the tensor that holds metadata.

    Example:
        >>> encode_metadata({"format": "tf"})
        b'{"format": "tf"}'
    """
    return json.dumps(dict(metadata)).encode()
