"""Hostile headers and entries, and what entries lead to: payloads, strings, slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from tests.corrupt.cases import (
    BOTH,
    FLOAT,
    HEADER,
    HUGE,
    INT32,
    SHARD,
    STRING,
    T_ENTRY,
    T_VALUES,
    V_ENTRY,
    V_VALUES,
    VARIANT,
    VERSION,
    Case,
    Files,
    Sparse,
    V,
    Value,
    shard_suffix,
    slice_entry,
    strings_payload,
    with_entry,
    with_header,
    with_rows,
)
from tests.support.bundles import entry_of
from tests.support.tables import masked_crc, varint
from tests.support.wire import bytes_field, entry_proto, fixed32_field, shape_proto, varint_field

CRC = int.from_bytes(masked_crc(T_VALUES), "little")
EMPTY_CRC = int.from_bytes(masked_crc(b""), "little")


def headers() -> Iterator[Case]:
    """The row under the empty key."""

    def case(name: str, header: bytes, ok: bool = False, seconds: float = 1.0) -> Case:
        return Case("header", name, lambda: with_header(header), BOTH if ok else {}, seconds=seconds)

    def version(*fields: bytes) -> bytes:
        return varint_field(1, 1) + bytes_field(3, b"".join(fields))

    for number in (0, -1, 2, 5, 100_000, 100_001, (1 << 31) - 1, 1 << 31, 1 << 40, -(1 << 31)):
        most = 10.0 if number == 100_000 else 1.0  # as many names are looked for: the limit is what bounds it
        yield case(f"{number} shards", varint_field(1, number) + VERSION, seconds=most)
    for number in (2, 7, -1, 1 << 31):
        yield case(f"endianness {number}", varint_field(1, 1) + varint_field(2, number) + VERSION)
    yield case("empty", b"")
    yield case("no parse", b"\xff\xff")
    yield case("group without end", HEADER + b"\x0b")
    yield case("groups 101 deep", HEADER + b"\x5b" * 101 + b"\x5c" * 101)
    yield case("groups 5,000 deep", HEADER + b"\x5b" * 5000 + b"\x5c" * 5000)
    yield case("no version", varint_field(1, 1), ok=True)
    yield case("producer of the future", version(varint_field(1, 1000)), ok=True)
    yield case("producer -1", version(varint_field(1, -1)))
    yield case("min_consumer 2", version(varint_field(1, 1), varint_field(2, 2)))
    yield case("min_consumer 2^31-1", version(varint_field(1, 1), varint_field(2, (1 << 31) - 1)))
    yield case("min_consumer -1", version(varint_field(1, 1), varint_field(2, -1)), ok=True)
    yield case("bad consumer 1", version(varint_field(1, 1), varint_field(3, 1)))
    yield case("bad consumers, packed", version(varint_field(1, 1), bytes_field(3, b"\x05\x01")))
    yield case("a million bad consumers", version(varint_field(1, 1), bytes_field(3, b"\x05" * 1_000_000)), ok=True)
    yield case("version twice, the second bad", HEADER + bytes_field(3, varint_field(2, 9)))
    yield case("unknown fields", HEADER + varint_field(88, 1) + bytes_field(99, b"x" * 1000), ok=True)
    yield case("shards twice, the last holds", varint_field(1, 9) + HEADER, ok=True)
    yield case("is an entry, which is a number of shards", T_ENTRY, ok=True)


def entries() -> Iterator[Case]:
    """One entry that claims what cannot be."""

    def case(name: str, entry: bytes, t: Value | None = None) -> Case:
        values = V if t is None else {**V, "t": t}
        return Case("entry", name, lambda: with_entry(entry), values, told="tensor 't'")

    shape = shape_proto(2, 3)
    for number in (0, 24, 30, 99, 101, 107, 131, 999, 1 << 31, 1 << 40, -1):
        yield case(f"dtype {number}", entry_of(number, shape, T_VALUES))
    yield case("no dtype", entry_proto(0, shape, 24, CRC)[2:])
    yield case("dtype twice, the last wrong", T_ENTRY + varint_field(1, 999))
    yield case("dtype twice, the last right", varint_field(1, 99) + T_ENTRY, T_VALUES)
    yield case("dtype of another width", entry_of(INT32 + 6, shape, T_VALUES))
    for number in (20, 25, 26, 27, 28):
        yield case(f"dtype {number}, not numbers", entry_of(number, shape_proto(1), T_VALUES))

    for label, number in {**HUGE, "-1": -1, "-2^63": -(1 << 63), "2^63-1": (1 << 63) - 1}.items():
        yield case(f"dimension {label}", entry_proto(FLOAT, shape_proto(number), 24, CRC))
        none = b"" if 0 < number < 1 << 60 else None  # numpy has no array of more bytes, even if it is empty
        yield case(f"dimensions {label}, 0", entry_proto(FLOAT, shape_proto(number, 0), 0, EMPTY_CRC), none)
        yield case(f"size {label}", entry_proto(FLOAT, shape, number, CRC))
        yield case(f"offset {label}", entry_proto(FLOAT, shape, 24, CRC, number))
        lowest = T_VALUES if number & 0xFFFFFFFF == 0 else None  # protobuf drops the upper bits
        yield case(f"shard {label}", entry_proto(FLOAT, shape, 24, CRC, 0, number), lowest)
    yield case("2^32 times 2^32", entry_proto(FLOAT, shape_proto(1 << 32, 1 << 32), 24, CRC))
    yield case("2^32 times 2^32 times 0", entry_proto(FLOAT, shape_proto(1 << 32, 1 << 32, 0), 0, EMPTY_CRC))
    yield case("elements that wrap to six", entry_proto(FLOAT, shape_proto(3, (1 << 63) + 2), 24, CRC))
    yield case("bytes that wrap to 24", entry_proto(FLOAT, shape_proto((1 << 62) + 6), 24, CRC))
    yield case("a terabyte", entry_proto(FLOAT, shape_proto(1 << 38), 1 << 40, CRC))
    yield case("elements and size 2^62", entry_proto(FLOAT, shape_proto(1 << 60), 1 << 62, CRC))
    yield case("a thousand million million booleans", entry_proto(10, shape_proto(10**15), 10**15, CRC))
    for rank in (64, 65, 254):
        ones = entry_of(FLOAT, shape_proto(*[1] * rank), T_VALUES[4:8], 4)
        yield Case(
            "entry",
            f"{rank} dimensions",
            partial(with_rows, {b"t": ones, b"v": V_ENTRY}),
            {**V, "t": T_VALUES[4:8]} if rank <= 64 else V,
        )
    for rank in (255, 1000, 100_000):
        yield case(f"{rank} dimensions", entry_of(FLOAT, shape_proto(*[1] * rank), T_VALUES[:4]))
    yield case("100,000 dimensions of 2", entry_proto(FLOAT, shape_proto(*[2] * 100_000), 24, CRC))
    yield case("unknown rank, dimensions", entry_of(FLOAT, shape + varint_field(3, 1), T_VALUES), T_VALUES)
    yield case("named dimensions", entry_of(FLOAT, named_dims(b"row", b"column"), T_VALUES), T_VALUES)
    yield case("dimension whose name is no text", entry_of(FLOAT, named_dims(b"\xff", b"\xfe"), T_VALUES))
    yield case("no shape: a scalar of 24 bytes", entry_proto(FLOAT, b"", 24, CRC))
    yield case("shape twice, joined", T_ENTRY + bytes_field(2, shape))

    yield case("empty", b"")
    yield case("no parse", b"\xff\xff")
    yield case("cut", T_ENTRY[:-1])
    yield case("field number 0", T_ENTRY + b"\x00\x00")
    yield case("wire type 7", T_ENTRY + b"\x0f")
    yield case("field beyond its end", T_ENTRY + b"\x7a\x7f")
    yield case("varint of eleven bytes", T_ENTRY + b"\x20" + b"\x80" * 10 + b"\x00")
    yield case("varint of ten bytes for 0", T_ENTRY + b"\x20" + b"\x80" * 9 + b"\x00", T_VALUES)
    yield case("groups 99 deep", T_ENTRY + b"\x7b" * 99 + b"\x7c" * 99, T_VALUES)
    yield case("groups 101 deep", T_ENTRY + b"\x7b" * 101 + b"\x7c" * 101)
    yield case("groups 100,000 deep", T_ENTRY + b"\x7b" * 100_000 + b"\x7c" * 100_000)
    yield case("unknown fields", T_ENTRY + varint_field(99, 5) + bytes_field(100, bytes(100_000)), T_VALUES)
    yield case("crc of the wrong kind", entry_proto(FLOAT, shape, 24) + varint_field(6, CRC))
    yield case("crc twice, the last right", fixed32_field(6, 1) + T_ENTRY, T_VALUES)
    yield case("crc unmasked", entry_proto(FLOAT, shape, 24, 12345))
    yield case("crc of 0", entry_proto(FLOAT, shape, 24, 0))
    yield case("size of four less", entry_proto(FLOAT, shape, 20, CRC))
    yield case("size of four more", entry_proto(FLOAT, shape, 28, CRC))
    yield case("no elements, wrong crc", entry_proto(FLOAT, shape_proto(0), 0, 5))
    yield case("no elements, far away", entry_proto(FLOAT, shape_proto(0), 0, EMPTY_CRC, 1 << 40), b"")
    yield case("last byte missing", entry_of(FLOAT, shape_proto(3), SHARD[-8:] + b"\0\0\0\0", 24))
    yield case("starts at the end", entry_proto(FLOAT, shape_proto(1), 4, CRC, len(SHARD)))
    yield case("overlaps", entry_of(FLOAT, shape_proto(2), SHARD[20:28], 20), SHARD[20:28])
    yield case("variant of one element", entry_proto(VARIANT, shape_proto(1), 5, CRC))
    yield case("big bfloat16", entry_proto(14, shape_proto(1 << 61), 1 << 62, CRC))


def named_dims(*names: bytes) -> bytes:
    """Encode a shape [2, 3] with names."""
    return b"".join(
        bytes_field(2, varint_field(1, size) + bytes_field(2, name)) for size, name in zip((2, 3), names, strict=True)
    )


def shards() -> Iterator[Case]:
    """Data files that are not what the index says."""

    def case(name: str, files: Files, **values: Value) -> Case:
        return Case("shard", name, lambda: files, values)

    from tests.corrupt.tables import TABLE

    index = {".index": TABLE}
    yield case("missing", index)
    yield case("empty", {**index, shard_suffix(): b""})
    yield case("under another number of shards", {**index, shard_suffix(0, 2): SHARD})
    yield case("cut within v", {**index, shard_suffix(): SHARD[:-1]}, t=T_VALUES)
    yield case("cut within t", {**index, shard_suffix(): SHARD[:23]})
    yield case("longer", {**index, shard_suffix(): SHARD + b"more"}, t=T_VALUES, v=V_VALUES)
    yield case("a terabyte longer", {**index, shard_suffix(): Sparse(1 << 40, {0: SHARD})}, t=T_VALUES, v=V_VALUES)
    yield case("a pointer of Git LFS", {**index, shard_suffix(): b"version https://git-lfs.github.com/spec/v1\n"})
    far = (1 << 40) - 24
    entry = entry_of(FLOAT, shape_proto(2, 3), T_VALUES, far)
    yield Case(
        "shard",
        "24 bytes at the end of a terabyte",
        lambda: with_rows({b"t": entry}, Sparse(1 << 40, {far: T_VALUES})),
        {"t": T_VALUES},
        ("t",),
    )
    beyond = entry_of(FLOAT, shape_proto(2, 3), T_VALUES, far + 1)
    yield Case(
        "shard",
        "23 bytes at the end of a terabyte",
        lambda: with_rows({b"t": beyond}, Sparse(1 << 40, {far: T_VALUES})),
        {},
        ("t",),
    )


def strings() -> Iterator[Case]:
    """String tensors, whose lengths stand in the payload."""
    values = [b"ab", b"", b"c" * 7]
    payload, crc = strings_payload(values)

    def case(
        name: str, payload: bytes | Sparse, size: int, count: int, crc: int = crc, ok: Sequence[bytes] = ()
    ) -> Case:
        entry = entry_proto(STRING, shape_proto(count), size, crc)
        tensors = {"t": tuple(ok)} if ok else {}
        return Case("strings", name, lambda: with_rows({b"t": entry}, payload), tensors, ("t",), told="tensor 't'")

    yield case("right", payload, len(payload), 3, ok=values)
    for label, number in HUGE.items():
        broken, broken_crc = strings_payload(values, varint(number) + b"\0\7")
        yield case(f"length {label}", broken, len(broken), 3, broken_crc)
        pair = varint(number) + varint((1 << 64) - number) + b"\x09"
        broken, broken_crc = strings_payload(values, pair)
        yield case(f"lengths {label} and what wraps it", broken, len(broken), 3, broken_crc)
        if number < 1 << 63:
            yield case(f"{label} strings", payload, max(number, len(payload)), number)
    yield case("lengths above 64 bits", b"\xff" * 9 + b"\x7f" + payload, 40, 3)
    yield case("length of eleven bytes", b"\x80" * 10 + b"\0" + payload, 40, 3)
    yield case("lengths to the end", b"\x80" * 24, 24, 3)
    yield case("all lengths, no more", varint(2) + b"\0\7", 3, 3)
    yield case("checksum cut short", payload[:5], 5, 3)
    yield case("checksum of the lengths", payload[:3] + b"\xff" + payload[4:], len(payload), 3)
    yield case("checksum of all", payload, len(payload), 3, crc ^ 1)
    yield case("contents", payload[:-1] + b"!", len(payload), 3)
    yield case("one string more", payload, len(payload), 4)
    yield case("one string less", payload, len(payload), 2)
    yield case("fewer bytes than strings", payload, 2, 3)
    yield Case(
        "strings",
        "size less than their bytes",
        lambda: with_rows({b"t": entry_proto(STRING, shape_proto(3), 4, crc)}, payload),
        {"t": tuple(values)},
        ("t",),
    )
    yield Case(
        "strings",
        "size more than their bytes",
        lambda: with_rows({b"t": entry_proto(STRING, shape_proto(3), len(payload) + 9, crc)}, payload + bytes(9)),
        {"t": tuple(values)},
        ("t",),
    )
    yield Case(
        "strings",
        "size of a gigabyte, all there",
        lambda: with_rows({b"t": entry_proto(STRING, shape_proto(3), 1 << 30, crc)}, Sparse(1 << 30, {0: payload})),
        {"t": tuple(values)},
        ("t",),
    )
    three, _ = strings_payload(values, varint(3 << 30) + b"\0\7")
    yield case("three gigabytes in nine bytes", three, len(three), 3)
    many, many_crc = strings_payload([b""] * 100_000)
    yield case("100,000 empty ones", many, len(many), 100_000, many_crc, [b""] * 100_000)
    yield Case(
        "strings",
        "in a shape of 65 dimensions",
        lambda: with_rows({b"t": entry_proto(STRING, shape_proto(3, *[1] * 64), len(payload), crc)}, payload),
        {},
        ("t",),
    )
    variant = varint(1 << 62) + b"abc"
    yield Case(
        "strings",
        "variant of 2^62 bytes",
        lambda: with_rows({b"t": entry_of(VARIANT, shape_proto(1), variant)}, variant),
        {},
        ("t",),
    )


def slice_rows(*keyed: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """Return index rows of slices."""
    return dict(keyed)


def slices() -> Iterator[Case]:
    """Partitioned tensors whose parts do not fit."""
    from tfbundle.format.ordered_code import encode_slice_key

    def part(start: int, size: int | None, *, told: int | None = None, dtype: int = FLOAT) -> tuple[bytes, bytes]:
        """The row of a slice of six numbers; ``told`` is the size that its entry has."""
        count = (6 - start if size is None else size) if told is None else told
        payload = T_VALUES[4 * start : 4 * (start + count)]
        key = encode_slice_key(b"t", ((start, -1 if size is None else size),))
        return key, entry_of(dtype, shape_proto(count), payload, 4 * start)

    def case(name: str, entry: bytes, *rows: tuple[bytes, bytes], t: bytes | None = None) -> Case:
        found = {b"t": entry, b"v": V_ENTRY, **slice_rows(*rows)}
        return Case("slices", name, lambda: with_rows(found), V if t is None else {**V, "t": t})

    halves = part(0, 2), part(2, 4)
    yield case("right", slice_entry([6], [(0, 2)], [(2, 4)]), *halves, t=T_VALUES)
    yield case("overlap", slice_entry([6], [(0, 4)], [(2, 4)]), part(0, 4), part(2, 4))
    yield case("gap", slice_entry([6], [(0, 2)], [(3, 3)]), part(0, 2), part(3, 3))
    yield case("end missing", slice_entry([6], [(0, 2)]), part(0, 2))
    yield case("the same twice", slice_entry([6], [(0, 2)], [(0, 2)], [(2, 4)]), *halves)
    yield case("the same in other words", slice_entry([6], [(0, 6)], [(0, None)]), part(0, 6), part(0, None))
    yield case("out of bounds", slice_entry([6], [(0, 2)], [(2, 5)]), *halves)
    yield case("far out of bounds", slice_entry([6], [(0, 2)], [(1 << 40, 4)]), *halves)
    for label, number in {**HUGE, "-1": -1, "-2^63": -(1 << 63)}.items():
        yield case(f"starts at {label}", slice_entry([6], [(number, 2)], [(2, 4)]), *halves)
        yield case(f"length {label}", slice_entry([6], [(0, number)], [(2, 4)]), *halves)
    yield case("start and length wrap", slice_entry([6], [((1 << 63) - 1, (1 << 63) - 1)], [(2, 4)]), *halves)
    yield case("length 0", slice_entry([6], [(0, 0)], [(0, None)]), part(0, 0), part(0, None), t=T_VALUES)
    yield case("no entry", slice_entry([6], [(0, 2)], [(2, 4)]), part(0, 2))
    yield case("no entries", slice_entry([6], [(0, 2)], [(2, 4)]))
    yield case("entry larger than the slice", slice_entry([6], [(0, 2)], [(2, 4)]), part(0, 2, told=3), part(2, 4))
    yield case("entry smaller than the slice", slice_entry([6], [(0, 2)], [(2, 4)]), part(0, 2, told=1), part(2, 4))
    yield case("entry of another dtype", slice_entry([6], [(0, 2)], [(2, 4)]), part(0, 2, dtype=INT32), part(2, 4))
    yield case("entry does not parse", slice_entry([6], [(0, 2)], [(2, 4)]), part(0, 2), (part(2, 4)[0], b"\xff"))
    nested = (part(2, 4)[0], slice_entry([4], [(0, 4)]))
    yield case("slice that has slices", slice_entry([6], [(0, 2)], [(2, 4)]), part(0, 2), nested)
    yield case("another rank", slice_entry([6], [(0, 2), (0, 1)], [(2, 4), (0, 1)]), *halves)
    yield case("no extents", slice_entry([6], []), (encode_slice_key(b"t", ()), T_ENTRY))
    yield case("of a scalar", slice_entry([], [], []), (encode_slice_key(b"t", ()), T_ENTRY))
    yield case(
        "of a tensor without elements",
        slice_entry([0], [(0, None)]),
        (part(0, None)[0], entry_proto(FLOAT, shape_proto(0), 0, EMPTY_CRC)),
        t=b"",
    )
    yield case("of a negative tensor", slice_entry([-6], [(0, 2)], [(2, 4)]), *halves)
    yield case("of a tensor of 2^62", slice_entry([1 << 62], [(0, 2)], [(2, 4)]), *halves)
    yield case("of unknown dtype", slice_entry([6], [(0, 2)], [(2, 4)], dtype=99), *halves)
    yield case("with offset and size of their own", T_ENTRY + slice_entry([6], [(0, 2)], [(2, 4)])[-12:], *halves)
    yield case("that do not parse", T_ENTRY + bytes_field(7, b"\xff"))
    yield case("rows that nobody lists", T_ENTRY, *halves, t=T_VALUES)
    yield case("one that spans it all", slice_entry([6], [(0, None)]), part(0, None), t=T_VALUES)
    right = part(0, 2)[0]
    for name, key in {
        "cut": right[:-1],
        "longer": right + b"\0",
        "without a name": b"\0\0\1",
        "whose name never ends": b"\0t\0",
        "of wrong escapes": b"\0t\xff\0\1\1\1\x80\x82",
        "of rank 255": b"\0t\0\1\1\xff\x80\x82",
        "of rank 2^64": b"\0t\0\1\x08" + b"\xff" * 8,
    }.items():
        yield case(f"key {name}", slice_entry([6], [(0, 2)], [(2, 4)]), (key, part(0, 2)[1]), part(2, 4))
    yield Case("slices", "1,500 beside each other", lambda: columns(1_500), {}, ("t",))
    yield Case("slices", "5,000 beside each other, without entries", lambda: columns(5_000, rows=False), {}, ("t",))
    yield Case("slices", "5,000 in a staircase", lambda: staircase(5_000), {}, ("t",))
    yield Case("slices", "8,000 times the same", lambda: repeated(8_000), {}, ("t",))
    yield Case("slices", "254 dimensions", lambda: deep_slices(254), {}, ("t",))


def columns(count: int, *, rows: bool = True) -> Files:
    """Cut a matrix of one row into columns, the last of which is missing."""
    from tfbundle.format.ordered_code import encode_slice_key

    shape = (1, count + 1)
    parts = [((0, None), (number, 1)) for number in range(count)]
    entries = {b"t": slice_entry(shape, *parts)}
    if rows:
        one = entry_of(FLOAT, shape_proto(1, 1), bytes(4))
        for number in range(count):
            entries[encode_slice_key(b"t", ((0, -1), (number, 1)))] = one
    return with_rows(entries, bytes(4))


def staircase(count: int) -> Files:
    """Let slices reach past each other in every dimension, so that no cut parts them."""
    parts = [((number, 2), (2 * (count - number), 1)) for number in range(count)]
    return with_rows({b"t": slice_entry((count + 1, 2 * count + 1), *parts)})


def repeated(count: int) -> Files:
    """List the same slice many times."""
    return with_rows({b"t": slice_entry((6,), *[[(0, 2)]] * count)})


def deep_slices(rank: int) -> Files:
    """Cut a tensor of very many dimensions along each of them."""
    parts = [[(int(number == axis), 1) for number in range(rank)] for axis in range(rank)]
    return with_rows({b"t": slice_entry([1 if number > 40 else 2 for number in range(rank)], *parts)})


def cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from headers()
    yield from entries()
    yield from shards()
    yield from strings()
    yield from slices()
