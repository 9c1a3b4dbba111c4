"""The header of a safetensors file: JSON, read without building anything that the format does not have.

Eight bytes of length, the header, and payloads side by side from offset 0 to the end of the file. Stricter than the
library in one thing: fields of a tensor that it does not know are refused.

Source: https://github.com/huggingface/safetensors, README and ``safetensors/src/tensor.rs``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tfbundle.errors import FormatError, UnsupportedError

MAX_HEADER_NBYTES = 100_000_000
"""As in the library."""

LENGTH_NBYTES = 8
METADATA_NAME = "__metadata__"

_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of an element."""

_ALIGNMENT = 8
_MAX_RANK = 254  # of a tensor in a bundle
_MOST = 2**63 - 1
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,18})(?![0-9.eE])")


class StoredTensor(NamedTuple):
    """What a header says of one tensor: offsets of its payload are counted from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class SafetensorsHeader(NamedTuple):
    """What a header says: tensors in the order of their payloads, and the text that goes with them."""

    tensors: list[StoredTensor]
    metadata: dict[str, str]


def encode_header(tensors: Iterable[StoredTensor], metadata: Mapping[str, str]) -> bytes:
    """Encode a header, its length included, padded so that payloads begin at a multiple of 8 bytes.

    Raises:
        UnsupportedError: a name is no Unicode, or the header would be larger than the library reads.

    Example:
        >>> encode_header([StoredTensor("w", "F32", (2,), 0, 8)], {})[8:]
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    """
    parts = [f"{_quote(METADATA_NAME)}:{_quote(dict(metadata))}"] if metadata else []
    for name, dtype, shape, start, end in tensors:
        sizes = ",".join(map(str, shape))
        parts.append(f'{_quote(name)}:{{"dtype":"{dtype}","shape":[{sizes}],"data_offsets":[{start},{end}]}}')
    try:
        text = f"{{{','.join(parts)}}}".encode()
    except UnicodeEncodeError as error:
        raise UnsupportedError("a safetensors file holds names and metadata of Unicode text only") from error
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER_NBYTES:
        raise UnsupportedError(
            f"the header would take {len(text)} bytes, and {MAX_HEADER_NBYTES} are the most; --max-shard-size "
            "spreads the tensors over several files"
        )
    return len(text).to_bytes(LENGTH_NBYTES, "little") + text


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def header_nbytes(start: bytes, file_nbytes: int) -> int:
    """Return the length of the header, which the first eight bytes tell.

    Raises:
        FormatError: there is no such header.
    """
    if len(start) < LENGTH_NBYTES:
        raise FormatError(f"{file_nbytes} bytes are too few for a safetensors file, expected at least {LENGTH_NBYTES}")
    nbytes = int.from_bytes(start[:LENGTH_NBYTES], "little")
    if nbytes > MAX_HEADER_NBYTES:
        raise FormatError(f"a header of {nbytes} bytes, expected at most {MAX_HEADER_NBYTES}: no safetensors file")
    if nbytes > file_nbytes - LENGTH_NBYTES:
        raise FormatError(f"a header of {nbytes} bytes in a file of {file_nbytes}: cut off, or no safetensors file")
    return nbytes


def decode_header(data: bytes, payload_nbytes: int) -> SafetensorsHeader:
    """Decode a header and check that its tensors make up the file.

    Takes time and memory in proportion to the header.

    Args:
        data: the header without its length.
        payload_nbytes: how many bytes follow it in the file.

    Raises:
        FormatError: no such header, or payloads that leave gaps, overlap, or are of another size than their tensors.

    Example:
        >>> decode_header(b'{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', 2).tensors
        [StoredTensor(name='w', dtype='U8', shape=(2,), start=0, end=2)]
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"a header that is no UTF-8, at byte {error.start} of it") from error
    tensors: list[StoredTensor] = []
    metadata: dict[str, str] = {}
    scanner = _Scanner(text)

    def take(name: str) -> None:
        if name == METADATA_NAME:
            scanner.read_object(lambda key: metadata.__setitem__(key, scanner.read_text()))
        else:
            tensors.append(scanner.read_tensor(name))

    scanner.read_object(take)
    scanner.expect_end()
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    _check_places(tensors, payload_nbytes)
    return SafetensorsHeader(tensors, metadata)


def _check_places(tensors: Iterable[StoredTensor], payload_nbytes: int) -> None:
    position = 0
    for tensor in tensors:
        label = f"tensor {tensor.name!r}"
        if tensor.start != position or tensor.end < tensor.start:
            found = f"{tensor.start} to {tensor.end}"
            raise FormatError(f"data_offsets {found}, where {position} is next: a gap or an overlap", "", label)
        bits = math.prod(tensor.shape) * _BITS[tensor.dtype]
        if bits != 8 * (tensor.end - tensor.start):
            kind = f"{tensor.dtype} {list(tensor.shape)}"
            raise FormatError(f"{tensor.end - tensor.start} bytes, expected {bits / 8:g} for {kind}", "", label)
        position = tensor.end
    if position != payload_nbytes:
        raise FormatError(f"tensors take {position} bytes, {payload_nbytes} follow the header: cut off, or not alone")


class _Scanner:
    """Reads the few kinds of JSON that a header is made of, from first to last."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._decoder = json.JSONDecoder()

    def read_object(self, take: Callable[[str], None]) -> None:
        """Read an object; ``take`` is called with each key, to read its value."""
        seen: set[str] = set()
        self._expect("{")
        if self._skip("}"):
            return
        while True:
            key = self.read_text()
            if key in seen:
                raise FormatError(f"the header lists {key!r} twice")
            seen.add(key)
            self._expect(":")
            take(key)
            if self._skip("}"):
                return
            self._expect(",")

    def read_tensor(self, name: str) -> StoredTensor:
        """Read the value of a tensor."""
        dtype, shape, offsets = "", None, None

        def take(field: str) -> None:
            nonlocal dtype, shape, offsets
            if field == "dtype":
                dtype = self.read_text()
            elif field == "shape":
                shape = self._read_numbers(_MAX_RANK)
            elif field == "data_offsets":
                offsets = self._read_numbers(2)
            else:
                raise FormatError(f"field {field!r}, expected dtype, shape and data_offsets", "", f"tensor {name!r}")

        self.read_object(take)
        if dtype not in _BITS:
            known = ", ".join(_BITS)
            raise FormatError(f"dtype {dtype!r}, expected one of {known}", "", f"tensor {name!r}")
        if shape is None or offsets is None or len(offsets) != 2:
            raise FormatError("lacks shape or data_offsets", "", f"tensor {name!r}")
        if math.prod(shape) > _MOST:
            raise FormatError("a shape of too many elements", "", f"tensor {name!r}")
        return StoredTensor(name, dtype, shape, *offsets)

    def read_text(self) -> str:
        """Read a string."""
        self._skip_space()
        if not self._text.startswith('"', self._at):
            raise self._fault("a string")
        try:
            value, self._at = self._decoder.raw_decode(self._text, self._at)
            value.encode()
        except ValueError as error:  # no end, a control character, or half of a surrogate pair
            raise self._fault("a string of Unicode text") from error
        return str(value)

    def expect_end(self) -> None:
        """Check that nothing follows but spaces."""
        self._skip_space()
        if self._at < len(self._text):
            raise self._fault("the end")

    def _read_numbers(self, most: int) -> tuple[int, ...]:
        numbers: list[int] = []
        self._expect("[")
        if self._skip("]"):
            return ()
        while True:
            self._skip_space()
            match = _NUMBER.match(self._text, self._at)
            if match is None or int(match[0]) > _MOST:
                raise self._fault(f"a number from 0 to {_MOST}")
            self._at = match.end()
            numbers.append(int(match[0]))
            if self._skip("]"):
                return tuple(numbers)
            if len(numbers) == most:
                raise self._fault(f"at most {most} numbers")
            self._expect(",")

    def _expect(self, mark: str) -> None:
        if not self._skip(mark):
            raise self._fault(repr(mark))

    def _skip(self, mark: str) -> bool:
        self._skip_space()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _fault(self, expected: str) -> FormatError:
        found = repr(self._text[self._at : self._at + 20]) if self._at < len(self._text) else "its end"
        return FormatError(f"a damaged header: at character {self._at}, expected {expected}, found {found}")
