"""Writing a table, with blocks cut exactly where TensorFlow cuts them.

Source: TensorFlow ``tsl/lib/io/table_builder.cc``, ``table_options.h``, ``core/util/tensor_bundle`` for the options.
"""

from __future__ import annotations

from collections.abc import Callable

from tfbundle.sstable.block import BlockBuilder, seal_block
from tfbundle.sstable.footer import BlockHandle, Footer, encode_footer, encode_handle

BLOCK_NBYTES = 262144
_DATA_RESTART_INTERVAL = 16
_INDEX_RESTART_INTERVAL = 1


class TableWriter:
    """Turns rows, added in ascending key order, into the bytes of a table.

    Not thread-safe. Holds one block and the index block in memory.

    Example:
        >>> parts = []
        >>> writer = TableWriter(parts.append)
        >>> writer.add(b"key", b"value")
        >>> writer.finish()
        >>> len(b"".join(parts))
        104
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._offset = 0
        self._block = BlockBuilder(_DATA_RESTART_INTERVAL)
        self._index = BlockBuilder(_INDEX_RESTART_INTERVAL)
        self._unindexed: tuple[bytes, BlockHandle] | None = None  # its separator needs the next key
        self._last_key: bytes | None = None

    def add(self, key: bytes, value: bytes) -> None:
        """Append one row.

        Raises:
            ValueError: ``key`` does not sort after the one before.
        """
        if self._last_key is not None and key <= self._last_key:
            raise ValueError(f"Adding duplicate or unsorted key: {key!r} after {self._last_key!r}")
        if len(key) + len(value) >= 2 * BLOCK_NBYTES and not self._block.is_empty:
            self._flush()
        if self._unindexed is not None:
            last_key, handle = self._unindexed
            self._index.add(shortest_separator(last_key, key), encode_handle(handle))
            self._unindexed = None
        self._block.add(key, value)
        self._last_key = key
        if self._block.nbytes >= BLOCK_NBYTES:
            self._flush()

    def finish(self) -> None:
        """Write the last data block, the metaindex and index blocks and the footer."""
        if not self._block.is_empty:
            self._flush()
        if self._unindexed is not None:
            last_key, handle = self._unindexed
            self._index.add(short_successor(last_key), encode_handle(handle))
        metaindex = self._write_block(BlockBuilder(_DATA_RESTART_INTERVAL).finish())
        index = self._write_block(self._index.finish())
        self._write(encode_footer(Footer(metaindex, index)))

    def _flush(self) -> None:
        self._unindexed = (self._block.last_key, self._write_block(self._block.finish()))
        self._block = BlockBuilder(_DATA_RESTART_INTERVAL)

    def _write_block(self, contents: bytes) -> BlockHandle:
        handle = BlockHandle(self._offset, len(contents))
        framed = seal_block(contents)
        self._write(framed)
        self._offset += len(framed)
        return handle


def shortest_separator(last: bytes, following: bytes) -> bytes:
    """Return a short key that is at least ``last`` and less than ``following``.

    Example:
        >>> shortest_separator(b"model/a", b"model/x")
        b'model/b'
    """
    for index, (low, high) in enumerate(zip(last, following, strict=False)):
        if low != high:
            if low < 0xFF and low + 1 < high:
                return last[:index] + bytes([low + 1])
            break
    return last


def short_successor(last: bytes) -> bytes:
    """Return a short key that is at least ``last``.

    Example:
        >>> short_successor(b"model")
        b'n'
    """
    for index, byte in enumerate(last):
        if byte != 0xFF:
            return last[:index] + bytes([byte + 1])
    return last
