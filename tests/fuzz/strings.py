"""Payloads of strings and of variants: sizes, contents and the checksums of both, read whole and piece by piece."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence

from tests.fuzz.mutation import mutate_bytes, mutate_items
from tests.fuzz.target import Target
from tests.golden.make_golden import FILES
from tests.support.tables import masked_crc, varint
from tfbundle.errors import BundleError
from tfbundle.format.dtypes import STRING, VARIANT, DataType
from tfbundle.format.payload_checksum import ByteOrder, StringChecksum, payload_checksum
from tfbundle.format.strings import decode_strings, encode_strings
from tfbundle.format.varints import decode_varint_array
from tfbundle.sstable.checksum import crc32c
from tfbundle.sstable.varint import decode_varint

Outcome = tuple[list[bytes], int] | None


def check(data: bytes) -> None:
    """Take the first byte for the number of elements and for the byte order, the rest for the payload."""
    if not data:
        return
    num_elements, payload = data[0] & 0x7F, data[1:]
    byteorder: ByteOrder = "big" if data[0] & 0x80 else "little"
    _check_varints(payload, num_elements)
    _check_strings(payload, num_elements, byteorder)
    _check_pieces(VARIANT, payload, num_elements, "little")


def _check_varints(data: bytes, limit: int) -> None:
    """Compare the decoder of many numbers at once with the one of one after the other."""
    values: list[int] = []
    position, damaged = 0, False
    while len(values) < limit and position < len(data):
        try:
            value, position = decode_varint(data, position, len(data))
        except BundleError:
            damaged = not (max(data[position:]) < 0x100 and min(data[position:]) > 0x7F and len(data) - position <= 10)
            break
        values.append(value)
    try:
        found, used = decode_varint_array(data, limit)
    except BundleError:
        assert damaged, "decode_varint_array refuses what decode_varint takes"
        return
    assert not damaged, "decode_varint_array takes what decode_varint refuses"
    assert (found.tolist(), used) == (values, position)


def _reference(payload: bytes, num_elements: int, byteorder: ByteOrder) -> Outcome:
    """Return the strings and the checksum of a payload, in the plainest way; None for a malformed one."""
    if not num_elements and not payload:
        return [], 0
    sizes = []
    position = 0
    try:
        for _ in range(num_elements):
            size, position = decode_varint(payload, position, len(payload))
            sizes.append(size)
    except BundleError:
        return None
    order = "<" if byteorder == "little" else ">"
    fixed = b"".join(struct.pack(order + ("I" if size < 1 << 32 else "Q"), size) for size in sizes)
    stored = payload[position : position + 4]
    if stored != (masked_crc(fixed) if byteorder == "little" else masked_crc(fixed)[::-1]):
        return None
    start = position + 4
    if start + sum(sizes) > len(payload):
        return None
    values = []
    for size in sizes:
        values.append(payload[start : start + size])
        start += size
    return values, crc32c(fixed + payload[position:start])


def _check_strings(payload: bytes, num_elements: int, byteorder: ByteOrder) -> None:
    expected = _reference(payload, num_elements, byteorder)
    try:
        found: Outcome = decode_strings(payload, num_elements, byteorder)
    except BundleError:
        found = None
    assert found == expected, "decode_strings gives something else"
    streamed = _check_pieces(STRING, payload, num_elements, byteorder)
    if expected is None:
        assert streamed is None, "the checksum of a malformed payload"
        return
    values, crc = expected
    nbytes = len(payload) if not payload else _nbytes(values, payload, num_elements)
    assert streamed == (crc if nbytes == len(payload) else None), "piece by piece it is another checksum"
    again = encode_strings(values)
    if values:
        assert decode_strings(again, num_elements)[0] == values
    if byteorder == "big" and values and nbytes == len(payload):
        checksum = payload_checksum(STRING, num_elements, byteorder)
        assert isinstance(checksum, StringChecksum)
        checksum.update(payload)
        swapped = bytearray(payload)
        swapped[checksum.sizes_nbytes : checksum.sizes_nbytes + 4] = checksum.little_endian_sizes_crc
        assert decode_strings(bytes(swapped), num_elements) == (values, checksum.little_endian_crc)


def _nbytes(values: Sequence[bytes], payload: bytes, num_elements: int) -> int:
    position = 0
    for _ in range(num_elements):
        _, position = decode_varint(payload, position, len(payload))
    return position + 4 + sum(map(len, values))


def _check_pieces(dtype: DataType, payload: bytes, num_elements: int, byteorder: ByteOrder) -> int | None:
    """Return the checksum of a payload, which must not depend on how it is cut; None for a malformed one."""
    found = {_streamed(dtype, payload, num_elements, byteorder, step) for step in (1, 3, 7, len(payload) or 1)}
    assert len(found) == 1, "the checksum depends on how the payload is cut"
    return found.pop()


def _streamed(dtype: DataType, payload: bytes, num_elements: int, byteorder: ByteOrder, step: int) -> int | None:
    try:
        checksum = payload_checksum(dtype, num_elements, byteorder)
        for start in range(0, len(payload), step):
            checksum.update(memoryview(payload)[start : start + step])
        return checksum.finish()
    except BundleError:
        return None


def _variants(values: Sequence[bytes]) -> bytes:
    """Encode variants: after each the checksum of all so far, sizes as 8 bytes."""
    stored = counted = b""
    for value in values:
        counted += struct.pack("<Q", len(value)) + value
        crc = masked_crc(counted)
        stored += varint(len(value)) + value + crc
        counted += crc
    return stored


def seeds() -> Iterator[bytes]:
    """Yield payloads of strings in both byte orders, and of variants."""
    for values in ([], [b""], [b"hello"], [b"a", b"", b"bcd" * 50], [b"x"] * 40):
        payload = encode_strings(values)
        count = len(values)
        yield bytes([count]) + payload
        sizes_nbytes = sum(len(varint(len(value))) for value in values)
        fixed = b"".join(struct.pack(">I", len(value)) for value in values)
        yield bytes([count | 0x80]) + payload[:sizes_nbytes] + masked_crc(fixed)[::-1] + payload[sizes_nbytes + 4 :]
        yield bytes([count]) + _variants(values)
    data = (FILES / "variant.data-00000-of-00001").read_bytes()
    yield b"\x01" + data


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change strings or bytes; mostly such that the checksum of the sizes matches."""
    if not data:
        return b"\x01\x01"
    if rng.random() < 0.3:
        values = [b"x" * rng.choice((0, 1, 5, 127, 128, 300)) for _ in range(rng.randint(0, 6))]
        mutate_items(values, rng, mutate_bytes)
        payload = _variants(values) if rng.random() < 0.5 else encode_strings(values)
        return bytes([len(values)]) + payload
    data = mutate_bytes(data, rng) or b"\0"
    return _with_checksum(data) if rng.random() < 0.7 else data


def _with_checksum(data: bytes) -> bytes:
    """Put the checksum that fits the sizes behind them."""
    position = 1
    sizes = []
    try:
        for _ in range(data[0] & 0x7F):
            size, position = decode_varint(data, position, len(data))
            sizes.append(size)
    except BundleError:
        return data
    order = ">" if data[0] & 0x80 else "<"
    crc = masked_crc(b"".join(struct.pack(order + ("I" if size < 1 << 32 else "Q"), size) for size in sizes))
    return data[:position] + (crc[::-1] if data[0] & 0x80 else crc) + data[position + 4 :]


TARGET = Target("strings", check, seeds, mutate, 1024)
