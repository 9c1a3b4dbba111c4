"""What each kind of file can hold: dtypes, names, numbers of dimensions."""

from __future__ import annotations

from typing import Literal, get_args

from tfbundle.format.dtypes import MAX_ARRAY_RANK, DataType

Form = Literal["safetensors", "npz", "npy"]
"""A safetensors file, or several with their index; a ``.npz`` archive; a directory of ``.npy`` files."""

FORMS: tuple[Form, ...] = get_args(Form)

SAFETENSORS_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "int16": "I16",
    "uint16": "U16",
    "float16": "F16",
    "bfloat16": "BF16",
    "int32": "I32",
    "uint32": "U32",
    "float32": "F32",
    "complex64": "C64",
    "float64": "F64",
    "int64": "I64",
    "uint64": "U64",
}
"""The safetensors dtype of each of TensorFlow's that has one, by its name."""

DTYPES_OF_SAFETENSORS = {theirs: ours for ours, theirs in SAFETENSORS_DTYPES.items()}

_MOST_NAME_NBYTES = 65_000  # of a member of an archive, with room for its ending


def why_not(form: Form, dtype: DataType, shape: tuple[int, ...]) -> str:
    """Say why a kind of file cannot hold a tensor; empty if it can.

    Example:
        >>> from tfbundle.format.dtypes import STRING
        >>> why_not("safetensors", STRING, ())
        'no string in safetensors'
    """
    if not dtype.is_memcpy or (form == "safetensors" and dtype.name not in SAFETENSORS_DTYPES):
        return f"no {dtype.name} in {form}"
    if form != "safetensors" and len(shape) > MAX_ARRAY_RANK:
        return f"more than {MAX_ARRAY_RANK} dimensions"
    return ""


def why_not_named(form: Form, name: str) -> str:
    """Say why a kind of file cannot hold a tensor of that name; empty if it can.

    Example:
        >>> why_not_named("npz", "../w"), why_not_named("safetensors", "../w")
        ('unpacking it would write outside of the directory', '')
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "it is no Unicode text"
    if form == "safetensors":
        return "the format keeps this name for itself" if name == "__metadata__" else ""
    return _why_not_a_member(name, len(encoded)) if form == "npz" else ""


def _why_not_a_member(name: str, nbytes: int) -> str:
    if nbytes > _MOST_NAME_NBYTES:
        return f"it has {nbytes} bytes, {_MOST_NAME_NBYTES} are the most"
    if "\0" in name:
        return "it holds a byte 0"
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        return "unpacking it would write outside of the directory"
    return ""
