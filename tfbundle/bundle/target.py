"""What must not happen to a target: to be its own source."""

from __future__ import annotations

import os

from tfbundle.bundle.reader import BundleReader
from tfbundle.errors import BundleExistsError
from tfbundle.format.naming import INDEX_SUFFIX, data_filename, index_filename, strip_data_suffix
from tfbundle.storage.base import Storage


def check_not_same(bundle: BundleReader, prefix: str, storage: Storage) -> None:
    """Refuse a target that is the source, by whatever path or link.

    Raises:
        BundleExistsError: it is.
    """
    num_shards = bundle.index.header.num_shards
    pairs = [(index_filename(bundle.prefix), index_filename(prefix))]
    pairs += [(bundle.shards.path(shard), data_filename(prefix, shard, num_shards)) for shard in range(num_shards)]
    for table in bundle.tables:  # may have the name of any file
        target = os.path.join(os.path.dirname(prefix), os.path.basename(table.path))
        if prefix in (strip_data_suffix(target), target.removesuffix(INDEX_SUFFIX)):
            pairs.append((table.path, target))
    for source, target in pairs:
        if storage.is_same(source, target):
            raise BundleExistsError(f"the target is the source {source}; choose another one", target)
