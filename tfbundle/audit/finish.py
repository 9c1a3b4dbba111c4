"""Finishing what an interrupted run began: what is complete is published, what is of no use is removed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tfbundle.audit.verify import verify_bundle
from tfbundle.bundle.graph_file import read_graph_file
from tfbundle.bundle.leftovers import (
    Leftover,
    describe_unpublished,
    find_leftovers,
    find_staged_models,
    find_strays,
    model_directory,
)
from tfbundle.bundle.locate import SAVED_MODEL_FILENAME, PathLike
from tfbundle.bundle.opening import open_bundle, read_index
from tfbundle.bundle.publish import remove_stale_shards
from tfbundle.errors import BundleError, BundleNotFoundError, FormatError
from tfbundle.format.naming import INDEX_SUFFIX, META_SUFFIX, SAVED_MODEL_PREFIX, index_filename, strip_data_suffix
from tfbundle.pb import parse_message
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage
from tfbundle.storage.directory import move_into_place, remove_directory
from tfbundle.storage.overlay import overlay
from tfbundle.storage.temporary import complete_directory, parse_temporary


@dataclass(frozen=True)
class FinishReport:
    """What was done about the files of interrupted runs.

    Attributes:
        prefix: of the bundle.
        published: whether the bundle, or its SavedModel, was unpublished, and complete, and is in its place now.
        removed: paths of files that were of no use, and of directories beside a SavedModel.
        kept: paths of those that stay, because their run still goes on.
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
    temporary names, and data files of another number of shards. The same goes for a SavedModel's directory and those
    that runs have filled beside it. Files of runs that still go on are left alone.

    Args:
        path: prefix of the bundle, or one of its files; or the directory, if only one bundle in it is concerned; or
            the directory of a SavedModel.

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
    text = _strip_temporary(storage.admit(path))
    if paths.basename(text) == SAVED_MODEL_FILENAME:
        text = paths.dirname(text) or os.curdir
    folder = _publish_model(paths.strip_end(text), storage)
    prefix = paths.join(folder, SAVED_MODEL_PREFIX) if folder else _find_prefix(text, storage)
    leftovers, models = find_leftovers(prefix, storage), find_staged_models(model_directory(prefix), storage)
    abandoned = [leftover for leftover in leftovers if not leftover.is_in_use]
    published = not storage.exists(index_filename(prefix)) and _publish_one(prefix, abandoned, storage)
    removed = _remove_useless(prefix, abandoned, storage)
    removed += _remove_directories([model.around for model in models if not model.is_in_use], storage)
    kept = [path for leftover in leftovers if leftover.is_in_use for path in leftover.paths]
    kept += [model.around for model in models if model.is_in_use]
    return FinishReport(prefix, published or bool(folder), tuple(sorted(removed)), tuple(sorted(kept)))


def _strip_temporary(path: str) -> str:
    """Return where a file or directory was to be, if the path is its temporary one."""
    temporary = parse_temporary(paths.strip_end(path))
    return temporary.path if temporary else path


def _find_prefix(path: str, storage: Storage) -> str:
    if not storage.is_directory(path):
        return _prefix_of(path)
    names = [name for name in storage.list_directory(path) if parse_temporary(name)]
    files = [name for name in names if not storage.is_directory(paths.join(path, name))]
    found = {_prefix_of(_strip_temporary(name)) for name in files}
    if len(found) == 1:
        return paths.join(path, *found)
    if found:
        raise BundleNotFoundError(f"unfinished files of several bundles; give one of {', '.join(sorted(found))}", path)
    with open_bundle(path, storage=storage) as bundle:
        return bundle.prefix


def _prefix_of(path: str) -> str:
    """Return the prefix of the bundle that a file belongs to, or would."""
    return strip_data_suffix(path) or path.removesuffix(INDEX_SUFFIX).removesuffix(META_SUFFIX)


def _publish_model(folder: str, storage: Storage) -> str:
    """Put a SavedModel's directory in its place that is missing, or empty, if a run left a complete one beside it.

    Returns:
        The directory; empty if there was nothing to do.

    Raises:
        FormatError: what the run left is not sound.
    """
    if storage.exists(folder) and (storage.list_directory(folder) or not storage.is_directory(folder)):
        return ""
    models = [model for model in find_staged_models(folder, storage) if model.is_complete and not model.is_in_use]
    problems = {(new := complete_directory(model.around)): _find_model_problem(new, storage) for model in models}
    sound = [new for new, problem in problems.items() if not problem]
    if not problems:
        return ""
    if not sound:
        raise FormatError(f"what an interrupted run left is not complete: {next(iter(problems.values()))}", folder)
    with storage.publishing_in(paths.dirname(folder)):
        move_into_place(sound[0], folder)
    return folder


def _publish_one(prefix: str, leftovers: Iterable[Leftover], storage: Storage) -> bool:
    """Publish the bundle that is staged.

    Raises:
        BundleNotFoundError: none is.
        FormatError: it is not complete.
    """
    index = index_filename(prefix)
    candidates = [leftover.staged for leftover in leftovers if index in leftover.staged]
    problems = [problem for staged in candidates if (problem := _find_problem(prefix, overlay(storage, staged)))]
    if not candidates:
        reason = "Failed to find any matching files; there is nothing to finish"
        raise BundleNotFoundError("; ".join([reason, *describe_unpublished(prefix, storage)]), prefix)
    if len(problems) == len(candidates):
        raise FormatError(f"what an interrupted run left is not complete: {problems[0]}", prefix)
    staged = next(staged for staged in candidates if not _find_problem(prefix, overlay(storage, staged)))
    num_shards = read_index(prefix, overlay(storage, staged)).header.num_shards
    storage.stage(replace=True, staged=staged).publish(
        last=index, clean_up=lambda: remove_stale_shards(prefix, num_shards, storage)
    )
    return True


def _find_model_problem(folder: str, storage: Storage) -> str:
    """Say what is wrong with a SavedModel; nothing if it is sound."""
    try:
        parse_message("SavedModel", read_graph_file(paths.join(folder, SAVED_MODEL_FILENAME), storage))
    except (BundleError, OSError) as error:
        return str(error)
    return _find_problem(paths.join(folder, SAVED_MODEL_PREFIX), storage)


def _find_problem(prefix: str, storage: Storage) -> str:
    """Say what is wrong with a bundle; nothing if it is sound."""
    try:
        with open_bundle(prefix, storage=storage) as bundle:
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
    return useless


def _remove_directories(useless: list[str], storage: Storage) -> list[str]:
    for path in useless:
        with storage.publishing_in(paths.dirname(path)):
            remove_directory(path)
    return useless
