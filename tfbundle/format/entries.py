"""Header and entries: the values of the index table.

Decoded forms are immutable. They keep the bytes they came from, so that an entry which is encoded unchanged is
byte-identical, and a changed one keeps fields that this package does not know.

Source: TensorFlow ``core/protobuf/tensor_bundle.proto``, ``core/util/tensor_bundle/tensor_bundle.cc``
(``BundleReader::BundleReader``, ``GetBundleEntryProto``, ``GetValue``), ``core/framework/versions.cc``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from typing import Any, Literal

from tfbundle.errors import FormatError
from tfbundle.format.dtypes import FLOAT32, STRING, VARIANT, data_type, dtype_name
from tfbundle.format.naming import MAX_NUM_SHARDS as MAX_NUM_SHARDS  # noqa: PLC0414 for who knows it from here
from tfbundle.format.ordered_code import FULL_LENGTH, Extent
from tfbundle.format.plain import (
    VERSION_MESSAGE,
    decode_plain_entry,
    decode_plain_header,
    encode_head,
    encode_plain_entry,
    encode_plain_header,
)
from tfbundle.pb import message_class, parse_message

HEADER_KEY = b""
VERSION = 1
"""Of the bundle format: written as ``producer``, compared with ``min_consumer`` and ``bad_consumers``."""

LITTLE, BIG = 0, 1
_MAX_RANK = 254
_MAX_ELEMENTS = 2**63 - 1

Slice = tuple[Extent, ...]


@dataclass(frozen=True)
class BundleHeader:
    """The row under the empty key.

    Attributes:
        num_shards: number of data files.
        endianness: byte order in the data files, LITTLE or BIG.
        version: the encoded version message.
        raw: the bytes this was decoded from, empty for a new header.
    """

    num_shards: int = 1
    endianness: int = LITTLE
    version: bytes = VERSION_MESSAGE
    raw: bytes = field(default=b"", compare=False, repr=False)

    @property
    def byteorder(self) -> Literal["little", "big"]:
        """The byte order in the data files, as ``int.from_bytes`` takes it."""
        return "big" if self.endianness == BIG else "little"


@dataclass(frozen=True)
class BundleEntry:
    """One tensor, or one slice of a partitioned tensor.

    Attributes:
        dtype: number of the element type.
        shape: size of each dimension.
        shard_id: which data file, from 0.
        offset: where the payload starts, in bytes from the start of that file.
        size: bytes of payload, without alignment padding.
        crc32c: checksum of the payload, masked.
        slices: the parts of a partitioned tensor, whose full entry has no payload; empty for all others.
        raw: the bytes this was decoded from, empty for a new entry.
    """

    dtype: int = FLOAT32.number
    shape: tuple[int, ...] = ()
    shard_id: int = 0
    offset: int = 0
    size: int = 0
    crc32c: int = 0
    slices: tuple[Slice, ...] = ()
    raw: bytes = field(default=b"", compare=False, repr=False)

    @property
    def num_elements(self) -> int:
        """Product of the dimensions."""
        return math.prod(self.shape)


def decode_header(data: bytes) -> BundleHeader:
    """Decode and check the bundle's header.

    Raises:
        FormatError: not a header, a version this reader may not read, unknown endianness, or a number of
            shards that no bundle has.
    """
    if (plain := decode_plain_header(data)) is not None:
        return BundleHeader(*plain, raw=data)
    message = parse_message("BundleHeaderProto", data)
    check_version(message.version)
    if message.endianness not in (LITTLE, BIG):
        raise FormatError(f"unknown endianness {message.endianness}, expected {LITTLE} or {BIG}")
    if not 0 <= message.num_shards <= MAX_NUM_SHARDS:
        raise FormatError(f"{message.num_shards} shards, expected 0 to {MAX_NUM_SHARDS}")
    version = message.version.SerializeToString(deterministic=True)
    return BundleHeader(message.num_shards, message.endianness, version, data)


def encode_header(header: BundleHeader) -> bytes:
    """Encode a header; one without ``raw`` gets this format's version.

    Example:
        >>> encode_header(BundleHeader(num_shards=1)).hex()
        '08011a020801'
    """
    if header.raw and decode_header(header.raw) == header:
        return header.raw
    if header.version == VERSION_MESSAGE and (not header.raw or decode_plain_header(header.raw) is not None):
        return encode_plain_header(header.num_shards, header.endianness)
    message = message_class("BundleHeaderProto")()
    if header.raw:
        message.ParseFromString(header.raw)
    message.version.ParseFromString(header.version)
    message.num_shards = header.num_shards
    message.endianness = header.endianness
    return bytes(message.SerializeToString(deterministic=True))


def check_version(version: Any) -> None:
    """Check a ``VersionDef`` message.

    Raises:
        FormatError: this reader may not read what was written with that version.
    """
    if version.producer < 0:
        raise FormatError(
            f"Checkpoint producer version {version.producer} below min producer 0 supported; regenerate the checkpoint"
        )
    if version.min_consumer > VERSION:
        raise FormatError(
            f"Checkpoint min consumer version {version.min_consumer} above current version {VERSION}; "
            "the checkpoint was written for newer readers"
        )
    if VERSION in version.bad_consumers:
        raise FormatError(f"Checkpoint disallows consumer version {VERSION}")


def decode_entry(data: bytes) -> BundleEntry:
    """Decode and check one entry. Looks at nothing but the entry itself.

    Raises:
        FormatError: not an entry, an unknown dtype, an impossible shape or slice, a negative offset, or a
            size that does not follow from dtype and shape.
    """
    plain = decode_plain_entry(data)
    if plain is None:
        return decode_any_entry(data)
    entry = BundleEntry(*plain, raw=data)
    _check_shape(entry.shape)
    _check_entry(entry)
    return entry


def decode_any_entry(data: bytes) -> BundleEntry:
    """Decode an entry of any form with protobuf, the reference for the fast path; otherwise as ``decode_entry``."""
    message = parse_message("BundleEntryProto", data)
    entry = BundleEntry(
        dtype=message.dtype,
        shape=decode_shape(message.shape),
        shard_id=message.shard_id,
        offset=message.offset,
        size=message.size,
        crc32c=message.crc32c,
        slices=tuple(decode_slice(part) for part in message.slices),
        raw=data,
    )
    _check_entry(entry)
    return entry


def encode_entry(entry: BundleEntry) -> bytes:
    """Encode an entry, keeping what its ``raw`` form has beyond the fields known here.

    Example:
        >>> encode_entry(BundleEntry(dtype=3, offset=8, size=4, crc32c=0x287F3F63)).hex()
        '080312002008280435633f7f28'
    """
    if entry.raw and decode_entry(entry.raw) == entry:
        return entry.raw
    is_plain = not entry.slices and (not entry.raw or decode_plain_entry(entry.raw) is not None)
    if is_plain and entry.dtype and min(entry.dtype, entry.shard_id, entry.offset, entry.size, *entry.shape) >= 0:
        head = encode_head(entry.dtype, entry.shape)
        return encode_plain_entry(head, entry.shard_id, entry.offset, entry.size, entry.crc32c)
    return encode_any_entry(entry)


def encode_any_entry(entry: BundleEntry) -> bytes:
    """Encode an entry of whatever form with protobuf: the reference for the fast path."""
    message = message_class("BundleEntryProto")()
    if entry.raw:
        message.ParseFromString(entry.raw)
    message.dtype = entry.dtype
    _encode_shape(message.shape, entry.shape)
    message.shard_id = entry.shard_id
    message.offset = entry.offset
    message.size = entry.size
    message.crc32c = entry.crc32c
    if tuple(decode_slice(part) for part in message.slices) != entry.slices:
        del message.slices[:]
        for extents in entry.slices:
            _encode_slice(message.slices.add(), extents)
    return bytes(message.SerializeToString(deterministic=True))


def decode_shape(message: Any) -> tuple[int, ...]:
    """Decode a ``TensorShapeProto`` message.

    Raises:
        FormatError: no shape that a tensor can have.
    """
    shape = tuple(dim.size for dim in message.dim)
    _check_shape(shape)
    return shape


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) > _MAX_RANK:
        raise FormatError(f"Invalid tensor shape: {len(shape)} dimensions, at most {_MAX_RANK} are allowed")
    if any(dim < 0 for dim in shape):
        raise FormatError(f"Invalid tensor shape: {list(shape)} has a negative dimension")
    if max(accumulate(shape, mul), default=0) > _MAX_ELEMENTS:  # a zero does not excuse what stands before it
        raise FormatError(f"Invalid tensor shape: {list(shape)} has more than {_MAX_ELEMENTS} elements")


def _encode_shape(message: Any, shape: tuple[int, ...]) -> None:
    message.SetInParent()
    if tuple(dim.size for dim in message.dim) != shape:
        del message.dim[:]
        for size in shape:
            message.dim.add().size = size


def decode_slice(message: Any) -> Slice:
    """Decode a ``TensorSliceProto`` message."""
    return tuple(
        (extent.start, extent.length if extent.WhichOneof("has_length") else FULL_LENGTH) for extent in message.extent
    )


def _encode_slice(message: Any, extents: Slice) -> None:
    for start, length in extents:
        extent = message.extent.add()
        extent.start = start
        if length != FULL_LENGTH:
            extent.length = length


def _check_entry(entry: BundleEntry) -> None:
    dtype = data_type(entry.dtype)
    if entry.slices:
        return  # no payload of its own; its slices are entries in their own right
    if entry.offset < 0:
        raise FormatError(f"Seeking to a negative position: {entry.offset}")
    if entry.shard_id < 0:
        raise FormatError(f"negative shard {entry.shard_id}")
    expected = entry.num_elements * dtype.nbytes
    if dtype.is_memcpy and entry.size != expected:
        raise FormatError(
            f"Invalid size in bundle entry: stored size {entry.size}; expected size {expected} "
            f"for {dtype_name(entry.dtype)} {list(entry.shape)}"
        )
    if dtype in (STRING, VARIANT) and entry.size < entry.num_elements:
        raise FormatError(
            f"Invalid size in bundle entry: stored size {entry.size}; expected size is at least {entry.num_elements}"
        )
