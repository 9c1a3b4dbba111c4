"""Finishing what an interrupted run began: a complete bundle is published, what is of no use is removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tfbundle.audit.verify import verify_bundle
from tfbundle.bundle.leftovers import Leftover, find_leftovers, find_strays
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle, read_index
from tfbundle.bundle.publish import remove_stale_shards
from tfbundle.errors import BundleError, BundleNotFoundError, FormatError
from tfbundle.format.naming import INDEX_SUFFIX, META_SUFFIX, index_filename, strip_data_suffix
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage
from tfbundle.storage.overlay import overlay
from tfbundle.storage.temporary import parse_temporary


@dataclass(frozen=True)
class FinishReport:
    """What was done about the files of interrupted runs.

    Attributes:
        prefix: of the bundle.
        published: whether the bundle was unpublished, and complete, and is in its place now.
        removed: paths of files that were of no use.
        kept: paths of files that stay, because their run still goes on.
    """

    prefix: str
    published: bool
    removed: tuple[str, ...]
    kept: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, text and truth values."""
        return asdict(self)


def finish(path: PathLike, /) -> FinishReport:
    """Finish what an interrupted run began.

    Where a bundle has lost its index to a run that was about to replace it, and all the new files are there and sound,
    they are published. Where a bundle is in its place, other files of interrupted runs are removed: those under
    temporary names, and data files of another number of shards. Files of runs that still go on are left alone.

    Args:
        path: prefix of the bundle, or one of its files; or the directory, if only one bundle in it is concerned.

    Raises:
        BundleNotFoundError: there is neither a bundle nor anything to make one of.
        FormatError: the staged files are not complete; they stay where they are.
        OSError: publishing failed; nothing is lost, and it can be tried again.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> prefix = tempfile.mkdtemp() + "/model"
        >>> tfbundle.save(prefix, {"w": np.ones(4, np.float32)})
        >>> tfbundle.finish(prefix).published
        False
    """
    storage = Anywhere()
    prefix = _find_prefix(storage.admit(path), storage)
    leftovers = find_leftovers(prefix, storage)
    abandoned = [leftover for leftover in leftovers if not leftover.is_in_use]
    published = not storage.exists(index_filename(prefix)) and _publish_one(prefix, abandoned, storage)
    removed = _remove_useless(prefix, abandoned, storage)
    kept = [path for leftover in leftovers if leftover.is_in_use for path in leftover.paths]
    return FinishReport(prefix, published, tuple(removed), tuple(sorted(kept)))


def _find_prefix(path: str, storage: Storage) -> str:
    if not storage.is_directory(path):
        temporary = parse_temporary(path)
        path = temporary.path if temporary else path
        return _prefix_of(path)
    temporaries = filter(None, map(parse_temporary, storage.list_directory(path)))
    found = {_prefix_of(each.path) for each in temporaries}
    if len(found) == 1:
        return paths.join(path, *found)
    if found:
        raise BundleNotFoundError(f"unfinished files of several bundles; give one of {', '.join(sorted(found))}", path)
    with open_bundle(path, storage=storage) as bundle:
        return bundle.prefix


def _prefix_of(path: str) -> str:
    """Return the prefix of the bundle that a file belongs to, or would."""
    return strip_data_suffix(path) or path.removesuffix(INDEX_SUFFIX).removesuffix(META_SUFFIX)


def _publish_one(prefix: str, leftovers: Iterable[Leftover], storage: Storage) -> bool:
    """Publish the bundle that is staged.

    Raises:
        BundleNotFoundError: none is.
        FormatError: it is not complete.
    """
    index = index_filename(prefix)
    candidates = [leftover.staged for leftover in leftovers if index in leftover.staged]
    problems = [problem for staged in candidates if (problem := _find_problem(prefix, staged, storage))]
    if not candidates:
        raise BundleNotFoundError("Failed to find any matching files; there is nothing to finish", prefix)
    if len(problems) == len(candidates):
        raise FormatError(f"what an interrupted run left is not complete: {problems[0]}", prefix)
    staged = next(staged for staged in candidates if not _find_problem(prefix, staged, storage))
    num_shards = read_index(prefix, overlay(storage, staged)).header.num_shards
    storage.stage(replace=True, staged=staged).publish(
        last=index, clean_up=lambda: remove_stale_shards(prefix, num_shards, storage)
    )
    return True


def _find_problem(prefix: str, staged: dict[str, str], storage: Storage) -> str:
    """Say what is wrong with a bundle that is staged, some of it perhaps in place; nothing if it is sound."""
    try:
        with open_bundle(prefix, storage=overlay(storage, staged)) as bundle:
            bundle.open_shards()
            report = verify_bundle(bundle)
    except (BundleError, OSError) as error:
        return str(error)
    return report.damages[0].message if report.damages else ""


def _remove_useless(prefix: str, leftovers: Iterable[Leftover], storage: Storage) -> list[str]:
    with storage.publishing_in(paths.dirname(prefix)):  # nobody's data files are on their way to their places
        num_shards = read_index(prefix, storage).header.num_shards
        useless = [path for leftover in leftovers for path in leftover.paths if storage.exists(path)]
        useless += find_strays(prefix, num_shards, storage)
        for path in useless:
            storage.remove(path)
    return sorted(useless)
