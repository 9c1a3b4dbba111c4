"""Hostile tables: footers, block handles, blocks, restart points, keys and Snappy streams."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

from tests.corrupt.cases import (
    BOTH,
    HEADER,
    HUGE,
    SHARD,
    T_ENTRY,
    V_ENTRY,
    Case,
    Files,
    Sparse,
    V,
    raw_row,
    sound_rows,
    with_block,
    with_blocks,
    with_index,
    with_index_block,
    with_rows,
)
from tests.support.tables import MAGIC, assemble_table, footer, frame, handle, plain_block, varint
from tfbundle.sstable.block import Row

BLOCK = frame(plain_block(sound_rows()))
TABLE = assemble_table([(b"w", plain_block(sound_rows()))])
BODY = TABLE[:-48]


def footers() -> Iterator[Case]:
    """Footers whose handles lead nowhere."""

    def case(name: str, end: bytes, values: object = None) -> Case:
        return Case("footer", name, lambda: with_index(BODY + end), BOTH if values else {})

    for label, number in HUGE.items():
        yield case(f"index block at {label}", footer(handle(number, 9)))
        yield case(f"index block of {label}", footer(handle(0, number)))
        yield case(f"index block at and of {label}", footer(handle(number, number)))
        yield case(f"metaindex block of {label}", footer(index_handle(), handle(number, number)), BOTH)
    yield case("index block is the footer", footer(handle(len(BODY), 43)))
    yield case("index block reaches into the footer", footer(handle(len(BODY) - 20, 40)))
    yield case("index block is the whole file", footer(handle(0, len(BODY) + 43)))
    yield case("index block is the data block", footer(handle(0, len(BLOCK) - 5)))
    yield case("index block of no bytes", footer(handle(0, 0)))
    yield case("no handles", footer(b"", b"\xff" * 40))
    yield case("one handle", footer(b"", b"\0\0" + b"\xff" * 38))
    yield case("handle of eleven bytes", footer(b"\x80" * 10 + b"\0"))
    yield case("handle above 64 bits", footer(b"\xff" * 9 + b"\x02" + b"\0"))
    yield case("magic number the other way round", footer(index_handle())[:40] + MAGIC[::-1])
    yield case("zeros", bytes(48))
    yield case("bytes after it", footer(index_handle()) + b"\0")
    yield Case("footer", "one table after another", lambda: with_index(TABLE + relocated(TABLE)), BOTH)
    for nbytes in (0, 1, 47, 48):
        yield Case("footer", f"last {nbytes} bytes", partial(with_index, TABLE[len(TABLE) - nbytes :]))
    yield Case("footer", "a terabyte of nothing", lambda: with_index(Sparse(1 << 40)))
    yield Case(
        "footer",
        "index block of a terabyte, all there",
        lambda: with_index(Sparse(1 << 40, {(1 << 40) - 48: footer(handle(0, (1 << 40) - 53))})),
    )
    yield Case(
        "footer",
        "index block of four gigabytes, all there",
        lambda: with_index(Sparse((1 << 32) + 53, {(1 << 32) + 5: footer(handle(0, 1 << 32))})),
    )


def index_handle() -> bytes:
    """Return the right handle of the index block of ``BODY``."""
    return handle(len(BLOCK), len(BODY) - len(BLOCK) - 5)


def relocated(table: bytes) -> bytes:
    """Return a table that is sound where another one stands before it."""
    contents = plain_block([(b"w", handle(len(table), len(BLOCK) - 5))])
    return BLOCK + frame(contents) + footer(handle(len(table) + len(BLOCK), len(contents)))


def handles() -> Iterator[Case]:
    """Index blocks whose handles lead nowhere, to each other, or to the same block."""

    def case(name: str, *values: bytes, ok: bool = False) -> Case:
        rows = [(b"w" + bytes([number]) * (number > 0), value) for number, value in enumerate(values)]
        return Case("handle", name, lambda: with_index_block(lambda end: rows), BOTH if ok else {})

    right = handle(0, len(BLOCK) - 5)
    for label, number in HUGE.items():
        yield case(f"block at {label}", handle(number, 9))
        yield case(f"block of {label}", handle(0, number))
    yield case("bytes after it", right + b"junk", ok=True)
    yield case("none", b"")
    yield case("half", b"\0")
    yield case("unfinished", b"\x80\x80")
    yield case("eleven bytes", b"\x80" * 10 + b"\0\0")
    yield case("block of no bytes", handle(0, 0))
    yield case("block of one byte less", handle(0, len(BLOCK) - 6))
    yield case("block of one byte more", handle(0, len(BLOCK) - 4))
    yield case("the same block twice", right, right)
    yield case("then a block within the block", right, handle(2, 3))
    yield Case("handle", "to itself", lambda: with_index_block(lambda end: [(b"w", handle(end, 12))]))
    yield Case("handle", "no blocks", lambda: with_index_block(lambda end: []))
    yield Case("handle", "no index keys", lambda: with_index_block(lambda end: [(b"", right)]))
    yield Case("handle", "index key below the last", lambda: with_index_block(lambda end: [(b"u", right)]))
    yield Case("handle", "20,000 times the same block", many_handles)
    yield Case("handle", "20,000 times a block without rows", lambda: many_handles(empty=True))
    yield Case("handle", "blocks in reverse", lambda: with_index_block(lambda end: [(b"w", right), (b"a", right)]))


def many_handles(*, empty: bool = False) -> Files:
    """Let a small index ask for gigabytes of the same block."""
    contents = bytes(1 << 18) if empty else plain_block([*sound_rows(), (b"w", bytes(1 << 18))])
    block = frame(contents)
    index = plain_block([(b"w%05d" % number, handle(0, len(contents))) for number in range(20_000)])
    return with_index(block + frame(index) + footer(handle(len(block), len(index))))


def restarts() -> Iterator[Case]:
    """Restart points that cannot be, and rows that do not fit between them."""
    body = plain_block(sound_rows())[:-8]

    def case(name: str, contents: bytes, ok: bool = False) -> Case:
        return Case("restart", name, lambda: with_block(contents), BOTH if ok else {})

    for count in (1 << 30, (1 << 30) - 1, 1 << 31, (1 << 32) - 1, 0x40000001, len(body) // 4 + 3):
        yield case(f"{count:#x} of them", body + struct.pack("<II", 0, count))
    yield case("none", body + struct.pack("<I", 0))
    yield case("none, no rows", struct.pack("<I", 0))
    yield case("nothing at all", b"")
    yield case("three bytes", b"\0\0\0")
    rows = [len(plain_block(sound_rows()[:number])) - 8 for number in range(3)]
    yield case("every row", body + struct.pack("<4I", *rows, 3), ok=True)
    yield case("the first is not 0", body + struct.pack("<2I", rows[1], 1))
    yield case("twice the same", body + struct.pack("<4I", 0, 0, rows[1], 3), ok=True)
    yield case("descending", body + struct.pack("<4I", 0, rows[2], rows[1], 3), ok=True)
    yield case("within a row", body + struct.pack("<3I", 0, rows[1] + 1, 2))
    for label, where in (("end", len(body)), ("past", len(body) + 4), ("2^31", 1 << 31), ("2^32-1", (1 << 32) - 1)):
        yield case(f"at the end: {label}", body + struct.pack("<3I", 0, where, 2))


def lengths() -> Iterator[Case]:
    """The three lengths of a row."""
    first = raw_row(b"\0", b"\0", varint(len(HEADER)), HEADER)
    rest = b"t" + T_ENTRY
    one = b"\x01"
    size = varint(len(T_ENTRY))

    def case(name: str, row: bytes) -> Case:
        return Case("row", name, lambda: with_block(first + row + struct.pack("<II", 0, 1)))

    encodings = {
        **{label: varint(number) for label, number in HUGE.items()},
        "2^28-1": varint((1 << 28) - 1),
        "six bytes": b"\x80" * 5 + b"\x01",
        "above 32 bits": b"\xff" * 4 + b"\x1f",
        "unfinished": b"\xff" * 40,
    }
    for label, number in encodings.items():
        yield case(f"shares {label}", raw_row(number, one, size, rest))
        yield case(f"key of {label}", raw_row(b"\0", number, size, rest))
        yield case(f"value of {label}", raw_row(b"\0", one, number, rest))
    yield case("shares one byte of nothing", raw_row(one, one, size, rest))
    yield case("ends in its lengths", b"\0\x01")
    yield case("value reaches into the restarts", raw_row(b"\0", one, varint(len(T_ENTRY) + 1), rest))
    yield case("a thousand rows without bytes", bytes(3000))


def key_orders() -> Iterator[Case]:
    """Keys that are out of order, twice there, or enormous."""
    header, t, v = sound_rows()

    def case(name: str, rows: list[Row], values: dict[str, object] | None = None) -> Case:
        return Case("key", name, lambda: with_block(plain_block(rows)), values or {})  # type: ignore[arg-type]

    yield case("twice", [header, t, t, v])
    yield case("twice, with another value", [header, t, (b"t", V_ENTRY), v])
    yield case("unsorted", [header, v, t])
    yield case("no header", [t, v])
    yield case("header last", [t, v, header])
    yield case("header twice", [header, header, t, v])
    yield case("nothing but a header", [header])
    yield Case("key", "twice, in two blocks", lambda: with_blocks([[header, t], [t, v]], [b"t", b"v"]))
    yield Case("key", "unsorted blocks", lambda: with_blocks([[header, v], [t]], [b"v", b"w"]))
    yield Case("key", "header in the second block", lambda: with_blocks([[t], [header, v]], [b"t", b"v"]))
    yield Case("key", "below the index key before", lambda: with_blocks([[header, t], [v]], [b"va", b"w"]))
    yield Case("key", "empty blocks between", lambda: with_blocks([[header], [], [t], [], [v]], list_of(5)), BOTH)
    yield Case("key", "empty block first", lambda: with_blocks([[], [header, t, v]], [b"a", b"v"]))
    for name in (
        b"\xff" * 9,
        b"\0" * 9,
        b"n\0l",
        "\u202e".encode(),
        b"%s{}%n",
        b"../../x",
        b"-x",
        b"=cmd",
        b"\xed\xa0\x80",
    ):
        rows = {b"t": T_ENTRY, b"v": V_ENTRY, name: V_ENTRY[:-1]}
        yield Case("key", f"damaged under {name!r}", partial(with_rows, rows), BOTH)
    long = b"k" * (1 << 20)
    yield Case("key", "of a megabyte", lambda: with_rows({b"t": T_ENTRY, b"v": V_ENTRY, long: b"\xff"}), BOTH)
    yield Case("key", "40,000 that share 60,000 bytes", lambda: shared_keys(60_000, 40_000))
    yield Case("key", "4,000 that share 600,000 bytes", lambda: shared_keys(600_000, 4_000))
    yield Case(
        "key",
        "64 KiB shared by fifteen, in each of five blocks",
        lambda: shared_keys(1 << 16, 15, blocks=5),
        {},
        ("k00000",),
    )


def list_of(count: int) -> list[bytes]:
    """Return index keys under which the keys "", t and v can stand one by one."""
    return [b"", b"a", b"t", b"u", b"v"][:count]


def shared_keys(nbytes: int, count: int, blocks: int = 1) -> Files:
    """Let four bytes a row stand for a key as long as one likes."""
    made = []
    for number in range(blocks):
        start = b"k%05d" % number + b"x" * nbytes
        body = raw_row(b"\0", varint(len(start)), b"\0", start)
        last = start
        for row in range(1, count):
            end = struct.pack(">H", row)
            body += raw_row(varint(len(start)), b"\x02", b"\0", end)
            last = start + end
        made.append((last, body + struct.pack("<II", 0, 1)))
    return with_index(assemble_table([(b"", plain_block([(b"", HEADER)])), *made]))


def snappy() -> Iterator[Case]:
    """Compressed blocks."""
    contents = plain_block(sound_rows())
    literal = bytes([61 << 2]) + struct.pack("<H", len(contents) - 1) + contents

    def case(name: str, stream: bytes, ok: bool = False) -> Case:
        return Case("snappy", name, lambda: with_block(stream, 1), BOTH if ok else {})

    yield case("right", varint(len(contents)) + literal, ok=True)
    for label, number in HUGE.items():
        yield case(f"promises {label}", varint(number) + literal)
    for delta in (-1, 1, 2**20):
        yield case(f"promises {delta:+} bytes", varint(len(contents) + delta) + literal)
    yield case("nothing", b"")
    yield case("no elements", varint(len(contents)))
    yield case("promises nothing", b"\0")
    yield case("promises nothing, has elements", b"\0" + literal)
    yield case("endless length", b"\xff" * 12)
    yield case("copy from the start", varint(4) + b"\x01\x00")
    yield case("copy of nothing before", varint(8) + b"\x00a" + b"\x01\x00")
    yield case("copy from too far", varint(8) + b"\x00a" + b"\x0d\x05")
    yield case("copy from 4 GB", varint(8) + b"\x00a" + b"\x0f\xff\xff\xff\xff")
    yield case("copy cut short", varint(8) + b"\x00a" + b"\x02")
    yield case("literal beyond the end", varint(100) + b"\xf0\x63a")
    yield case("literal of 4 GB", varint(100) + b"\xfc\xff\xff\xff\xffa")
    yield case("literal whose length is cut short", varint(100) + b"\xfc\xff")
    yield case("bytes after the end", varint(len(contents)) + literal + b"\x00a")
    for kind in (2, 3, 127, 255):
        yield Case("snappy", f"block type {kind}", partial(with_block, contents, kind))
    for nbytes in (1 << 16, 1 << 22):
        zeros = varint(nbytes) + b"\0\0" + b"\xfe\x01\x00" * (nbytes // 64)
        yield case(f"bomb of {nbytes} zeros", zeros[: len(zeros)])
        exact = varint(nbytes) + b"\0\0" + b"\xfe\x01\x00" * ((nbytes - 1) // 64) + b"\xfa\x01\x00"
        yield case(f"exact bomb of {nbytes} zeros", exact)
    yield Case(
        "snappy",
        "bomb in every block",
        lambda: with_index(
            assemble_table(
                [
                    (b"k%d" % number, varint(1 << 20) + b"\0\0" + b"\xfe\x01\x00" * 16383 + b"\xfa\x01\x00")
                    for number in range(20)
                ],
                1,
            )
        ),
    )


def scale() -> Iterator[Case]:
    """Sound in every part, but of so many parts that whoever takes each by each takes for ever."""
    yield Case("scale", "5,000 rows over the same bytes", lambda: overlapping(5_000, len(SHARD)), V, ("v",))
    yield Case("scale", "5,000 rows over a megabyte", lambda: overlapping(5_000, 1 << 20), V, ("v",))
    yield Case("scale", "2,000 damaged rows", lambda: damaged(2_000, b"\xff"), BOTH)
    yield Case("scale", "2,000 rows of missing shards", lambda: damaged(2_000, T_ENTRY + b"\x18\x05"), BOTH)
    yield Case("scale", "5,000 blocks", many_blocks, BOTH)


def overlapping(count: int, nbytes: int) -> Files:
    """Let every row claim the same bytes."""
    from tests.corrupt.cases import FLOAT
    from tests.support.bundles import entry_of
    from tests.support.wire import shape_proto

    shard = SHARD.ljust(nbytes, b"\0")
    entry = entry_of(FLOAT, shape_proto(nbytes // 4), shard)
    return with_rows({b"v": V_ENTRY, **{b"k%05d" % number: entry for number in range(count)}}, shard)


def damaged(count: int, entry: bytes) -> Files:
    """Put many damaged rows beside the sound ones, one of which may be a slice by its key."""
    rows = {b"k%05d" % number: entry for number in range(count)}
    return with_rows({**rows, b"\0a": V_ENTRY, b"t": T_ENTRY, b"v": V_ENTRY})


def many_blocks() -> Files:
    """Put each row into a block of its own, and many blocks without rows between them."""
    header, t, v = sound_rows()
    empty: list[list[Row]] = [[] for _ in range(5_000)]
    separators = [b"", *(b"a%05d" % number for number in range(5_000)), b"t", b"v"]
    return with_blocks([[header], *empty, [t], [v]], separators)


def cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from footers()
    yield from handles()
    yield from restarts()
    yield from lengths()
    yield from key_orders()
    yield from snappy()
    yield from scale()
