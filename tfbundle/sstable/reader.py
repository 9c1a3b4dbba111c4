"""Reading a table: footer, index block, then data blocks one at a time.

Source: TensorFlow ``tsl/lib/io/table.cc`` (``Table::Open``, ``Table::BlockReader``), ``format.cc`` (``ReadBlock``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from operator import attrgetter, lt
from typing import NamedTuple

from tfbundle.errors import FormatError, TruncatedError
from tfbundle.sstable.block import TRAILER_NBYTES, Row, decode_block, iter_block, unseal_block
from tfbundle.sstable.footer import FOOTER_NBYTES, BlockHandle, decode_footer, decode_handle

ReadAt = Callable[[int, int], bytes]
"""``read_at(offset, nbytes)`` returns exactly that many bytes or raises."""

MAX_BLOCK_NBYTES = 1 << 31
"""Size of the largest block that is read: writers end a block after 256 KiB, and no row is as large as this."""

Block = tuple[list[bytes], list[bytes]]
"""Keys and values of a data block, in key order."""


class _IndexedBlock(NamedTuple):
    separator: bytes  # at or above every key of the block, below every key of the next
    handle: BlockHandle


class TableReader:
    """The rows of one table. Holds the index block, and the block of the row that was got last; others are dropped.

    Thread-safe if ``read_at`` is. Made by ``open_table``.
    """

    def __init__(self, read_block: Callable[[BlockHandle], bytes], blocks: list[_IndexedBlock]) -> None:
        self._read_block = read_block
        self._blocks = blocks
        self._last: tuple[int, dict[bytes, bytes]] = -1, {}

    @property
    def num_blocks(self) -> int:
        """Number of data blocks."""
        return len(self._blocks)

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key, None if there is none; reads one block, unless it is that of the last call.

        Raises:
            FormatError: damage in that block, or keys that do not strictly ascend.
        """
        number = bisect_left(self._blocks, key, key=attrgetter("separator"))
        if number == len(self._blocks):
            return None
        last, rows = self._last
        if last != number:
            try:
                keys, values = decode_block(self._read_block(self._blocks[number].handle))
                _check_order(keys, None, self._blocks[number].separator)
            except FormatError as error:
                raise error.add_path("", f"block {number}") from error
            rows = dict(zip(keys, values, strict=True))
            if len(rows) > 1:  # else it may be huge, and there is nothing else to find in it
                self._last = number, rows
        return rows.get(key)

    def iter_blocks(self) -> Iterator[Block]:
        """Yield the keys and the values of each block in key order, its checksum and order checked.

        Raises:
            FormatError: damage in a block, or keys that do not strictly ascend (TensorFlow would take the
                first of two equal keys and lose an unsorted one).
        """
        for block in self.iter_sound_blocks():
            if isinstance(block, FormatError):
                raise block
            yield block

    def iter_sound_blocks(self) -> Iterator[Block | FormatError]:
        """Yield the keys and values of each block, or what is wrong with it; goes on after a damaged one."""
        previous: bytes | None = None
        for number, (separator, handle) in enumerate(self._blocks):
            try:
                keys, values = decode_block(self._read_block(handle))
                _check_order(keys, previous, separator)
            except FormatError as error:
                yield error.add_path("", f"block {number}")
            else:
                yield keys, values
            previous = separator

    def iter_rows(self) -> Iterator[Row]:
        """Yield every (key, value) in key order; otherwise as ``iter_blocks``."""
        for keys, values in self.iter_blocks():
            yield from zip(keys, values, strict=True)


def open_table(read_at: ReadAt, nbytes: int, max_block_nbytes: int = MAX_BLOCK_NBYTES) -> TableReader:
    """Read the footer and the index block of a table.

    Args:
        read_at: ``read_at(offset, count)`` returns exactly ``count`` bytes of the table.
        nbytes: size of the table in bytes.
        max_block_nbytes: blocks that are larger are refused before they are read.

    Raises:
        TruncatedError: the table is too short, or a block handle leads past its end.
        ChecksumError: the index block does not match its crc32c.
        FormatError: bad magic number, handles or index block; or blocks that together are larger than the table, which
            would be read again and again.

    Example:
        >>> table = bytes.fromhex("0000000001000000" "00c0f2a1b0" * 2)
        >>> open_table(lambda offset, count: table[offset : offset + count], len(table))
        Traceback (most recent call last):
        tfbundle.errors.TruncatedError: footer: file is too short to be an sstable: 26 bytes, its footer ...
    """
    start = max(0, nbytes - FOOTER_NBYTES)
    footer = decode_footer(read_at(start, nbytes - start))
    read_block = partial(_read_block, read_at, start, max_block_nbytes)
    try:
        contents = read_block(footer.index_handle)
        blocks = [_IndexedBlock(key, decode_handle(value)[0]) for key, value in iter_block(contents)]
        _check_sum(blocks, start)
    except FormatError as error:
        raise error.add_path("", "index block") from error
    return TableReader(read_block, blocks)


def _check_sum(blocks: list[_IndexedBlock], blocks_end: int) -> None:
    """Refuse handles that lead to the same bytes: a small table could ask for any amount of work.

    One that leads out of the table is left to who reads that block.
    """
    inside = (handle for _, handle in blocks if handle.offset + handle.nbytes <= blocks_end)
    total = sum(handle.nbytes + TRAILER_NBYTES for handle in inside)
    if total > blocks_end:
        raise FormatError(f"{len(blocks)} blocks take {total} bytes, the table has {blocks_end} for them")


def _read_block(read_at: ReadAt, blocks_end: int, max_nbytes: int, handle: BlockHandle) -> bytes:
    end = handle.offset + handle.nbytes + TRAILER_NBYTES
    if end > blocks_end:
        raise TruncatedError(
            f"Read less bytes than requested: block of {handle.nbytes} bytes at {handle.offset} ends at {end}, "
            f"the table's blocks at {blocks_end}"
        )
    if handle.nbytes > max_nbytes:
        raise FormatError(f"block of {handle.nbytes} bytes at {handle.offset}, at most {max_nbytes} are allowed")
    return unseal_block(read_at(handle.offset, handle.nbytes + TRAILER_NBYTES))


def _check_order(keys: list[bytes], previous: bytes | None, separator: bytes) -> None:
    """Check the keys of one block; ``previous`` is the index key of the block before, if there is one."""
    bounds = keys if previous is None else [previous, *keys]
    if not all(map(lt, bounds, islice(bounds, 1, None))):
        before, key = next((before, key) for before, key in pairwise(bounds) if key <= before)
        raise FormatError(f"key {key!r} does not sort after {before!r}, as table keys must")
    if bounds and bounds[-1] > separator:
        raise FormatError(f"key {bounds[-1]!r} sorts after its block's index key {separator!r}")
