"""What must not happen to a target: to be its own source."""

from __future__ import annotations

from tfbundle.bundle.reader import BundleReader
from tfbundle.errors import BundleExistsError
from tfbundle.format.naming import data_filename, index_filename
from tfbundle.storage.base import Storage


def check_not_same(bundle: BundleReader, prefix: str, storage: Storage) -> None:
    """Refuse a target that is the source, by whatever path or link.

    Raises:
        BundleExistsError: it is.
    """
    num_shards, present = bundle.index.header.num_shards, bundle.shards.present()
    pairs = [(index_filename(bundle.prefix), index_filename(prefix))]
    pairs += [(bundle.shards.path(shard), data_filename(prefix, shard, num_shards)) for shard in present]
    for source, target in pairs:
        if storage.is_same(source, target):
            raise BundleExistsError(f"the target is the source {source}; choose another one", target)
