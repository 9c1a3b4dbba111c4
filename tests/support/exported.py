"""Files of others, made byte by byte or by others' libraries, and read by these."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def safetensors_bytes(header: object, payload: bytes = b"", pad: bytes = b"") -> bytes:
    """Return a file with a header of one's choice, given as text or as what is to be JSON."""
    text = header if isinstance(header, bytes) else header.encode() if isinstance(header, str) else _json(header)
    text += pad
    return struct.pack("<Q", len(text)) + text + payload


def _json(header: object) -> bytes:
    return json.dumps(header).encode()


def read_safetensors(path: str | Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return what the library finds in a file: dtype, shape and bytes of each tensor."""
    import safetensors

    found: Any = safetensors.deserialize(Path(path).read_bytes())  # type: ignore[no-untyped-call,unused-ignore]
    return {name: (view["dtype"], tuple(view["shape"]), bytes(view["data"])) for name, view in found}


def read_npy_directory(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return what numpy finds in the files that a list names."""
    with open(os.path.join(path, "tensors.json"), encoding="utf-8") as file:
        tensors = json.load(file)["tensors"]
    return {name: np.load(os.path.join(path, entry["file"])) for name, entry in tensors.items()}
