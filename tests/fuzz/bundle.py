"""Whole bundles: an index and its data files, read, verified, halved, salvaged and compared."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tfbundle
from tests.fuzz.mutation import Field, any_number, join_fields, mutate_bytes, mutate_message, split_fields
from tests.fuzz.packing import pack, unpack
from tests.fuzz.reading import (
    Contents,
    check_blended,
    check_commands,
    check_compared,
    check_descriptions,
    check_halved,
    check_parts,
    check_salvaged,
    check_stats,
    check_verdict,
    has_gaps,
    read_contents,
)
from tests.fuzz.scratch import laid_out
from tests.fuzz.sealing import LooseBlock, encode_rows, mutate_table, put_together, take_apart
from tests.fuzz.target import Target
from tests.golden.make_golden import FILES
from tests.support.handmade import HandmadeBundle, floats, integers, strings
from tests.support.partitions import Piece, partitioned_bundle
from tests.support.tables import masked_crc
from tests.support.wire import bytes_field, shape_proto, varint_field
from tfbundle.errors import BundleError
from tfbundle.format.dtypes import DATA_TYPES
from tfbundle.format.entries import BundleEntry, decode_any_entry
from tfbundle.format.naming import data_filename, index_filename, name_to_key
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.format.payload_checksum import payload_checksum
from tfbundle.sstable.block import Row, iter_block
from tfbundle.sstable.checksum import crc32c, mask_crc32c

_MOST_SHARDS = 9
_OTHER = HandmadeBundle([floats("a name that nothing else has", [1, 2])])


def check(data: bytes, turns: Collection[int] = range(6)) -> None:
    """Read an index and data files in every way; but of the slow ones only those whose turn it is."""
    index, *shards = unpack(data)
    num_shards = _num_shards(index) or len(shards)
    files = {index_filename("m"): index}
    files |= {data_filename("m", number, num_shards): contents for number, contents in enumerate(shards)}
    files |= {f"other{suffix}": contents for suffix, contents in _OTHER.files().items()}
    with laid_out(files) as folder:
        prefix = str(folder / "in" / "m")
        try:
            bundle = tfbundle.open(prefix)
        except BundleError:
            check_salvaged(prefix, folder / "out", None, sound=False)
            return
        with bundle:
            _check_bundle(prefix, folder / "out", bundle, shards, turns)


def check_some(data: bytes) -> None:
    """Check one thing or another, as the bytes have it, so that more inputs can have their turn."""
    check(data, (crc32c(data) % 6,))


def _check_bundle(
    prefix: str, folder: Path, bundle: tfbundle.BundleReader, shards: list[bytes], turns: Collection[int]
) -> None:
    found: Contents | None = None
    sound = False
    try:
        found = read_contents(bundle)
    except BundleError:  # an entry that hides which rows are slices
        assert not tfbundle.verify(prefix).ok
    if found is not None:
        _check_payloads(bundle, found, shards)
        check_descriptions(bundle, found)
        sound = check_verdict(prefix, bundle, found)
    if found is not None and 0 in turns:
        check_parts(bundle, found)
        check_stats(prefix, sound=sound)
    whole = found is not None and (sound or not has_gaps(prefix))
    if found is not None and whole and {1, 2} & set(turns):
        halved = check_halved(prefix, folder, found, sound=sound)
        if halved is not None and 2 in turns:
            check_compared(prefix, halved)
    if found is not None and 4 in turns:
        check_commands(prefix, found, sound=sound)
    if found is not None and whole and 5 in turns:
        check_blended(prefix, prefix.removesuffix("m") + "other", folder, found, sound=sound)
    if 3 in turns:
        check_salvaged(prefix, folder, found, sound=sound)


def _check_payloads(bundle: tfbundle.BundleReader, found: Contents, shards: list[bytes]) -> None:
    """Compare arrays with the bytes of the files, and these with their checksums."""
    for name, value in found.values.items():
        entry = bundle.index[name_to_key(name)]
        dtype = DATA_TYPES[entry.dtype]
        if entry.slices or not dtype.is_memcpy:
            continue
        payload = shards[entry.shard_id][entry.offset : entry.offset + entry.size] if entry.size else b""
        assert masked_crc(payload) == entry.crc32c.to_bytes(4, "little"), f"{name!r} does not match its checksum"
        numbers: NDArray[Any] = np.frombuffer(payload, f"u{dtype.swap}")
        if bundle.index.header.endianness:
            numbers = numbers.byteswap()
        assert value.tobytes() == numbers.tobytes(), f"{name!r} is not what the file says"


def _num_shards(index: bytes) -> int:
    """Return how many data files the header speaks of, 0 where that is not known, or are many."""
    for block in take_apart(index) or []:
        try:
            rows = list(iter_block(block.contents))
        except BundleError:
            return 0
        for key, value in rows[:1]:
            numbers = [field.value for field in split_fields(value) or [] if field.number == 1 and not key]
            return int(numbers[-1]) if numbers and isinstance(numbers[-1], int) and numbers[-1] < _MOST_SHARDS else 0
    return 0


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change an entry, a block, a data file or how they belong together; mostly such that checksums match."""
    files = unpack(data)
    choice = rng.randint(0, 15)
    if choice == 0:
        at = rng.randrange(len(files))
        files[at] = mutate_bytes(files[at], rng)
    elif choice == 1 and len(files) > 1:
        files.insert(rng.randint(1, len(files)), files.pop(rng.randrange(1, len(files))))
    elif choice in (2, 3) and len(files) > 1:
        at = rng.randrange(1, len(files))
        files[at] = mutate_bytes(files[at], rng)
    elif choice == 4:
        files[0] = _partition(files[0], rng)
    else:
        files[0] = mutate_table(files[0], rng, _mutate_row)
    if rng.random() < 0.85:
        files[0] = _match_checksums(files[0], files[1:])
    return pack(files)


def _mutate_row(row: Row, rng: random.Random) -> Row:
    key, value = row
    if key and rng.random() < 0.4:
        return key, _reshape(value, rng)
    return key, mutate_message(value, rng)


def _reshape(value: bytes, rng: random.Random) -> bytes:
    """Give an entry another dtype and shape, with the size that follows, perhaps at another place."""
    try:
        entry = decode_any_entry(value)
    except BundleError:
        return mutate_message(value, rng)
    dtype = DATA_TYPES[rng.choice((entry.dtype, 1, 1, 2, 3, 7, 9, 10, 14, 19, 21, rng.randint(1, 33)))]
    rank = rng.choice((0, 1, 1, 2, 2, 3, 4, 31, 64, 65, 254))
    limit = max(1, entry.size)
    shape = tuple(rng.choice((1, 1, 1, 2, 3, limit // (dtype.nbytes or 1))) for _ in range(rank))
    if rng.random() < 0.1:
        shape = (*shape[:-1], 0, any_number(rng) % 2**62)
    size = entry.size if not dtype.nbytes else int(np.prod(shape, dtype=object)) * dtype.nbytes
    if size > limit and rank > 4:
        shape, size = (1,) * rank, dtype.nbytes or entry.size
    offset = entry.offset if rng.random() < 0.7 else rng.choice((0, entry.offset + 1, entry.offset + entry.size))
    fields = [varint_field(1, dtype.number), bytes_field(2, shape_proto(*shape)), varint_field(5, size)]
    shard = entry.shard_id if rng.random() < 0.9 else rng.randint(0, 2)
    return b"".join([*fields[:2], varint_field(3, shard), varint_field(4, offset), fields[2]])


def _partition(index: bytes, rng: random.Random) -> bytes:
    """Cut a tensor into slices along its first dimension, each with a row of its own."""
    blocks = take_apart(index)
    if not blocks:
        return index
    at = rng.randrange(len(blocks))
    try:
        rows = list(iter_block(blocks[at].contents))
        key, value = rng.choice([row for row in rows if row[0]])
        entry = decode_any_entry(value)
    except (BundleError, IndexError):
        return index
    if not entry.shape or not entry.shape[0] or entry.slices:
        return index
    cut = rng.randint(0, entry.shape[0])
    row_nbytes = entry.size // entry.shape[0]
    parts = [(0, cut), (cut, entry.shape[0] - cut)]
    rest = ((0, -1),) * (len(entry.shape) - 1)
    made = dict(rows)
    slices = b""
    for start, size in parts:
        part = replace(
            entry, shape=(size, *entry.shape[1:]), offset=entry.offset + start * row_nbytes, size=size * row_nbytes
        )
        made[encode_slice_key(key, ((start, size), *rest))] = _encode(part)
        extents = [varint_field(1, start) + varint_field(2, size), *[b""] * len(rest)]
        slices += bytes_field(7, b"".join(bytes_field(1, extent) for extent in extents))
    made[key] = varint_field(1, entry.dtype) + bytes_field(2, shape_proto(*entry.shape)) + slices
    ordered = sorted(made.items())
    blocks[at] = LooseBlock(max(blocks[at].separator, ordered[-1][0]), encode_rows(ordered), blocks[at].kind)
    return put_together(blocks)


def _encode(entry: BundleEntry) -> bytes:
    fields = [varint_field(1, entry.dtype), bytes_field(2, shape_proto(*entry.shape))]
    numbers = (3, entry.shard_id), (4, entry.offset), (5, entry.size)
    return b"".join(fields + [varint_field(number, value) for number, value in numbers if value])


def _match_checksums(index: bytes, shards: list[bytes]) -> bytes:
    """Give every entry whose payload is there the checksum of that payload."""
    blocks = take_apart(index)
    if not blocks:
        return index
    try:
        for at, block in enumerate(blocks):
            rows = [(key, _match(value, shards) if key else value) for key, value in iter_block(block.contents)]
            blocks[at] = replace(block, contents=encode_rows(rows))
    except BundleError:
        return index
    return put_together(blocks)


def _match(value: bytes, shards: list[bytes]) -> bytes:
    fields = split_fields(value)
    try:
        entry = decode_any_entry(value)
        if fields is None or entry.slices or not entry.size or entry.shard_id >= len(shards):
            return value
        checksum = payload_checksum(DATA_TYPES[entry.dtype], entry.num_elements)
        checksum.update(shards[entry.shard_id][entry.offset : entry.offset + entry.size])
        crc = mask_crc32c(checksum.finish())
    except BundleError:
        return value
    kept = [field for field in fields if field.number != 6]
    return join_fields([*kept, Field(6, 5, crc)])


def seeds() -> Iterator[bytes]:
    """Yield bundles that TensorFlow wrote and others made by hand."""
    for path in sorted(FILES.glob("*.index")):
        shards = [shard.read_bytes() for shard in sorted(FILES.glob(f"{path.stem}.data-*"))]
        if path.stat().st_size + sum(map(len, shards)) < 6000:
            yield pack([path.read_bytes(), *shards])
    for handmade in _handmade():
        files = handmade.files()
        yield pack([files.pop(".index"), *(files[name] for name in sorted(files))])


def _handmade() -> Iterator[HandmadeBundle]:
    tensors = [floats("a", [1, 2, np.nan, 1e9, 1e-9]), integers("b", [[1, 2]]), strings("s", [b"one", b"", b"three"])]
    yield HandmadeBundle(tensors)
    yield HandmadeBundle([replace(tensors[0], shard=1), tensors[1]], 2)
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    pieces = [
        Piece(((0, 4), (start, size)), (slice(0, 4), slice(start, start + size))) for start, size in ((0, 2), (2, 4))
    ]
    yield partitioned_bundle("w", values, 1, pieces, [0, 1])
    swapped = replace(tensors[0], payload=np.arange(5, dtype=">f4").tobytes())
    yield HandmadeBundle([swapped], header_extra=varint_field(2, 1))


TARGET = Target("bundle", check, seeds, mutate, verbs=6, quick=check_some)
