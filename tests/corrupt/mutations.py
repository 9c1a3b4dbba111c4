"""Mutations of a bundle's files: flipped bits, cuts, more bytes; damage within blocks under right checksums."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.support.tables import frame, varint
from tfbundle.sstable.footer import BlockHandle, decode_footer, decode_handle
from tfbundle.sstable.reader import open_table

Files = Mapping[str, bytes]


class Mutation(NamedTuple):
    """A damaged bundle."""

    label: str
    files: Files


def flipped(contents: bytes, bit: int) -> bytes:
    """Flip one bit, given by its number."""
    damaged = bytearray(contents)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def flips(files: Files) -> Iterator[Mutation]:
    """Flip every bit of every file."""
    for suffix, contents in files.items():
        for bit in range(8 * len(contents)):
            yield Mutation(f"{suffix} bit {bit}", {**files, suffix: flipped(contents, bit)})


def cuts(files: Files) -> Iterator[Mutation]:
    """Cut every file at every length."""
    for suffix, contents in files.items():
        for nbytes in range(len(contents)):
            yield Mutation(f"{suffix} cut at {nbytes}", {**files, suffix: contents[:nbytes]})


def additions(files: Files) -> Iterator[Mutation]:
    """Append to every file."""
    for suffix, contents in files.items():
        for more in (b"\0", b"\xff", bytes(4096), contents):
            yield Mutation(f"{suffix} {len(more)} bytes more, {more[:1].hex()}", {**files, suffix: contents + more})


def block_handles(index: bytes) -> list[BlockHandle]:
    """Return where the blocks are: data, metaindex, index."""
    footer = decode_footer(index[-48:])
    table = open_table(lambda offset, nbytes: index[offset : offset + nbytes], len(index))
    data = [decode_handle(varint(block.handle.offset) + varint(block.handle.nbytes))[0] for block in table._blocks]
    found = [*data, footer.index_handle]
    return [*found, footer.metaindex_handle] if footer.metaindex_handle.nbytes else found


def with_block(index: bytes, where: BlockHandle, contents: bytes, kind: int) -> bytes:
    """Return an index with other contents of a block, of the same size, and the checksum they have."""
    end = where.offset + where.nbytes + 5
    return index[: where.offset] + frame(contents, kind) + index[end:]


def sealed_flips(files: Files) -> Iterator[Mutation]:
    """Flip every bit of every block of the index, and repair the block's checksum."""
    index = files[".index"]
    for where in block_handles(index):
        contents = index[where.offset : where.offset + where.nbytes]
        kind = index[where.offset + where.nbytes]
        for bit in range(8 * len(contents)):
            sealed = with_block(index, where, flipped(contents, bit), kind)
            yield Mutation(f"block at {where.offset}, bit {bit}", {**files, ".index": sealed})
        for bit in range(8):
            sealed = with_block(index, where, contents, kind ^ 1 << bit)
            yield Mutation(f"block at {where.offset}, type bit {bit}", {**files, ".index": sealed})


def sealed_pairs(files: Files, count: int, seed: int) -> Iterator[Mutation]:
    """Flip two bits at random, and repair the checksum."""
    index = files[".index"]
    rng = random.Random(seed)
    handles = block_handles(index)
    for number in range(count):
        where = handles[0] if rng.random() < 0.8 else rng.choice(handles)
        contents = index[where.offset : where.offset + where.nbytes]
        for _ in range(2):
            contents = flipped(contents, rng.randrange(8 * len(contents)))
        sealed = with_block(index, where, contents, index[where.offset + where.nbytes])
        yield Mutation(f"pair {number} of seed {seed}", {**files, ".index": sealed})


_BYTES = (0, 1, 0x7F, 0x80, 0xFF)


def sealed_scrambles(files: Files, count: int, seed: int) -> Iterator[Mutation]:
    """Overwrite, copy and exchange stretches of bytes at random, and repair the checksum."""
    index = files[".index"]
    rng = random.Random(seed)
    handles = block_handles(index)
    for number in range(count):
        where = handles[0] if rng.random() < 0.8 else rng.choice(handles)
        contents = bytearray(index[where.offset : where.offset + where.nbytes])
        for _ in range(rng.randint(1, 4)):
            start, source = rng.randrange(len(contents)), rng.randrange(len(contents))
            nbytes = min(rng.randint(1, 8), len(contents) - max(start, source))
            piece = contents[source : source + nbytes] if rng.random() < 0.5 else bytes(rng.choices(_BYTES, k=nbytes))
            contents[start : start + nbytes] = piece
        sealed = with_block(index, where, bytes(contents), index[where.offset + where.nbytes])
        yield Mutation(f"scramble {number} of seed {seed}", {**files, ".index": sealed})
