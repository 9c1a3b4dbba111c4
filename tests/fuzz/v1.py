"""V1 checkpoints: tables that hold the values themselves, read, verified, halved and compared."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tfbundle
from tests.fuzz.mutation import mutate_bytes, mutate_message, split_fields
from tests.fuzz.packing import pack, unpack
from tests.fuzz.reading import (
    Contents,
    check_compared,
    check_descriptions,
    check_halved,
    check_parts,
    check_stats,
    check_verdict,
    read_contents,
)
from tests.fuzz.scratch import laid_out
from tests.fuzz.sealing import LooseBlock, encode_rows, mutate_table, put_together, repair, rows_of, take_apart
from tests.fuzz.target import Target, check_message
from tests.support.partitions import slice_key
from tests.support.tables import varint
from tests.support.wire import bytes_field, shape_proto, varint_field
from tfbundle.errors import BundleError
from tfbundle.format.naming import name_to_key, v1_shard_filename
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.sstable.block import Row
from tfbundle.sstable.checksum import crc32c
from tfbundle.sstable.varint import decode_varint

_Extents = tuple[tuple[int, int], ...]


def check(data: bytes, *, everything: bool = True) -> None:
    """Read tables as a checkpoint, or as shards of one."""
    tables = unpack(data)
    names = (
        ["m"] if len(tables) == 1 else [v1_shard_filename("m", number, len(tables)) for number in range(len(tables))]
    )
    with laid_out(dict(zip(names, tables, strict=True))) as folder:
        prefix = str(folder / "in" / "m")
        try:
            bundle = tfbundle.open(prefix)
        except BundleError as error:
            check_message(error)
            return
        with bundle:
            found = read_contents(bundle)
            _check_values(found, tables)
            check_descriptions(bundle, found)
            sound = check_verdict(prefix, bundle, found)
            if everything or crc32c(data) % 4 == 0:
                check_parts(bundle, found)
                check_stats(prefix, sound=sound)
            if not sound and not found.errors:
                return  # the damage is in a slice without elements, which only ``verify`` reads
            if everything or crc32c(data) % 2:
                halved = check_halved(prefix, folder / "out", found, sound=sound)
                if halved is not None and crc32c(data) % 8 > 4:
                    check_compared(prefix, halved)


def _check_values(found: Contents, tables: list[bytes]) -> None:
    """Compare whole vectors of floats and integers with what plain rows say."""
    rows = [row for table in tables for block in take_apart(table) or [] for row in rows_of(block.contents)]
    stored = {key: _plain_values(value) for key, value in rows}
    if len(stored) < len(rows):
        return  # which of two rows counts depends on which table lists it
    for name, array in found.values.items():
        values = stored.get(encode_slice_key(name_to_key(name), ((0, -1),) * array.ndim))
        field = {"float32": 5, "int64": 10}.get(array.dtype.name)
        if values is not None and field in values:
            assert array.tobytes() == values[field].tobytes(), f"{name!r} is not what its row says"


def _plain_values(value: bytes) -> dict[int, NDArray[Any]] | None:
    """Return the packed fields of a row's values, by number; None where a field comes twice, or is unexpected."""
    for number in (2, 3):
        fields = split_fields(value) or []
        inner = [field.value for field in fields if field.number == number]
        if len(inner) != 1 or not isinstance(inner[0], bytes):
            return None
        value = inner[0]
    fields = split_fields(value) or []
    if len(fields) != 1 or not isinstance(fields[0].value, bytes):
        return None
    number, packed = fields[0].number, fields[0].value
    if number == 5 and not len(packed) % 4:
        return {5: np.frombuffer(packed, "<f4")}
    if number == 10:
        numbers, position = [], 0
        while position < len(packed):
            try:
                found, position = decode_varint(packed, position, len(packed))
            except BundleError:
                return None
            numbers.append(found)
        return {10: np.array(numbers, np.uint64).view(np.int64)}
    return None


def check_some(data: bytes) -> None:
    """Check one thing or another, as the bytes have it, so that more inputs can have their turn."""
    check(data, everything=False)


def _extent(start: int, length: int) -> bytes:
    found = (varint_field(1, start) if start else b"") + (varint_field(2, length) if length >= 0 else b"")
    return bytes_field(1, found)


def _slice(extents: _Extents) -> bytes:
    return b"".join(_extent(*extent) for extent in extents)


def _meta(*tensors: tuple[bytes, int, tuple[int, ...], list[_Extents]]) -> bytes:
    """Return the first row: name, dtype, shape and slices of each tensor."""
    listed = b""
    for name, dtype, shape, slices in tensors:
        parts = b"".join(bytes_field(4, _slice(extents)) for extents in slices)
        listed += bytes_field(
            1, bytes_field(1, name) + bytes_field(2, shape_proto(*shape)) + varint_field(3, dtype) + parts
        )
    return bytes_field(1, listed + bytes_field(2, varint_field(1, 1)))


def _row(name: bytes, extents: _Extents, field: int, contents: bytes) -> Row:
    """Return the row of a slice; its values are in a field of TensorProto."""
    saved = bytes_field(1, name) + bytes_field(2, _slice(extents)) + bytes_field(3, bytes_field(field, contents))
    return slice_key(name, extents), bytes_field(2, saved)


def _table(*rows: Row, kind: int = 0) -> bytes:
    ordered = sorted(rows)
    return put_together([LooseBlock(ordered[-1][0], encode_rows(ordered), kind)])


def seeds() -> Iterator[bytes]:
    """Yield checkpoints of one file and of two, with floats, integers, strings and a partitioned tensor."""
    floats = np.array([1, 2, 3.5, 1e9], "<f4").tobytes()
    numbers = b"".join(varint(number & (1 << 64) - 1) for number in (0, 1, -1, 300))
    whole = ((0, -1),)
    header = (b"", _meta((b"f", 1, (4,), [whole]), (b"i", 9, (4,), [whole]), (b"h", 19, (4,), [whole])))
    rows = [_row(b"f", whole, 5, floats), _row(b"i", whole, 10, numbers), _row(b"h", whole, 13, varint(15360) * 4)]
    for kind in (0, 1):
        yield pack([_table(header, *rows, kind=kind)])
    for dtype, field, contents in ((2, 6, np.arange(4.0).tobytes()), (8, 9, floats * 2), (10, 11, b"\0\1\1\0")):
        yield pack([_table((b"", _meta((b"t", dtype, (2, 2), [whole * 2]))), _row(b"t", whole * 2, field, contents))])
    text = bytes_field(8, b"one") + bytes_field(8, b"")
    value = bytes_field(2, bytes_field(1, b"s") + bytes_field(2, _slice(whole)) + bytes_field(3, text))
    yield pack([_table((b"", _meta((b"s", 7, (2,), [whole]), (b"x", 1, (), [()]))), (slice_key(b"s", whole), value))])
    halves: list[_Extents] = [((start, 2), (0, -1)) for start in (0, 2)]
    part = np.arange(4, dtype="<f4").tobytes()
    one = _table((b"", _meta((b"w", 1, (4, 2), halves))), *(_row(b"w", half, 5, part) for half in halves))
    yield pack([one])
    yield pack([_table((b"", _meta((b"", 1, (4,), [whole]))), _row(b"", whole, 5, floats))])
    yield pack(
        _table((b"", _meta((b"w", 1, (4, 2), [half]))), _row(b"w", half, 5, part), kind=kind)
        for kind, half in enumerate(halves)
    )


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a row, a block or which tables there are; mostly such that checksums match."""
    tables = unpack(data)
    at = rng.randrange(len(tables))
    choice = rng.randint(0, 15)
    if choice == 0:
        tables.insert(rng.randint(0, len(tables)), tables[at])
    elif choice == 1 and len(tables) > 1:
        del tables[at]
    elif choice == 2:
        tables[at] = repair(mutate_bytes(tables[at], rng))
    else:
        tables[at] = mutate_table(tables[at], rng, _mutate_row)
    return pack(tables)


def _mutate_row(row: Row, rng: random.Random) -> Row:
    return row[0], mutate_message(row[1], rng)


TARGET = Target("v1", check, seeds, mutate, 4096, quick=check_some)
