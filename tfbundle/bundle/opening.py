"""Opening a bundle that a path means: its index read and decoded, its data files not yet touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from numpy.typing import NDArray

from tfbundle.bundle.locate import PathLike, check_not_pointer, find_bundle
from tfbundle.bundle.payloads import Payloads
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.shards import Shards
from tfbundle.errors import FormatError
from tfbundle.format.index import MAX_BLOCK_NBYTES, BundleIndex, decode_index
from tfbundle.format.naming import index_filename
from tfbundle.sstable.reader import TableReader, open_table
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage

Checksums = Literal["verify", "ignore"]


def open_bundle(path: PathLike, /, *, checksums: Checksums = "verify", storage: Storage | None = None) -> BundleReader:
    """Open a bundle for reading.

    Reads the index, a block at a time, every block's checksum verified; no data file is opened yet.

    Args:
        path: a prefix, any file of the checkpoint, a directory with a ``checkpoint`` file, or a SavedModel directory.
        checksums: ``"verify"`` compares the crc32c of every tensor that is read whole; ``"ignore"`` hands out what the
            bytes say all the same.
        storage: where the files are; wherever the path leads by default.

    Raises:
        BundleNotFoundError: no bundle there.
        FormatError: the index is damaged.
        UnsupportedError: another kind of file.

    Example:
        >>> import numpy as np, tfbundle, tempfile, os
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
        >>> tfbundle.save(prefix, {"w": np.zeros((2, 3), np.float32)})
        >>> with tfbundle.open(prefix) as bundle:
        ...     bundle.entries["w"].shape
        (2, 3)
    """
    storage = storage or Anywhere()
    location = find_bundle(path, storage)
    if location.v1_files:
        from tfbundle.bundle.v1 import open_v1

        index, rows = open_v1(location, storage)
        return BundleReader(index, rows, Shards(location.prefix, 0, storage), storage)
    identity = storage.identity(index_filename(location.prefix))
    index = read_index(location.prefix, storage)
    shards = Shards(location.prefix, index.header.num_shards, storage, identity)
    return BundleReader(index, Payloads(index, shards, verify=checksums == "verify"), shards, storage)


def load(path: PathLike, names: list[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read tensors into a dictionary, in key order.

    Args:
        path: as for ``open``.
        names: which ones; all by default.

    Raises:
        TensorNotFoundError, FormatError, BundleNotFoundError, UnsupportedError: as ``BundleReader.read``.

    Example:
        >>> import numpy as np, tfbundle, tempfile, os
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
        >>> tfbundle.save(prefix, {"b": np.int32(1), "a": np.int32(2)})
        >>> list(tfbundle.load(prefix))
        ['a', 'b']
    """
    with open_bundle(path) as bundle:
        wanted = list(bundle if names is None else names)
        in_file_order = bundle.expect(wanted)
        found = {name: bundle[name] for name in in_file_order}
        return {name: found[name] for name in wanted}


def read_index(prefix: str, storage: Storage) -> BundleIndex:
    """Read and decode the index of the bundle with that prefix.

    Raises:
        BundleNotFoundError: there is none.
        FormatError: it is damaged, or a Git LFS pointer.
    """
    with opened_table(prefix, storage) as table:
        return decode_index(table)


@contextmanager
def opened_table(prefix: str, storage: Storage) -> Iterator[TableReader]:
    """Give the index table of the bundle with that prefix; errors are told with its path.

    Raises:
        BundleNotFoundError, FormatError: as ``read_index``.
    """
    file = storage.open(index_filename(prefix))
    try:
        file.expect([(0, file.nbytes)])
        check_not_pointer(file)
        yield open_table(file.read, file.nbytes, MAX_BLOCK_NBYTES)
        file.check_unchanged()
    except FormatError as error:
        raise error.add_path(file.path) from error
    finally:
        file.close()
