"""Halving a SavedModel: a directory in which the variables are float16 and the graph restores them as float32.

Source: TensorFlow ``python/saved_model/constants.py``; ``cc/saved_model/fingerprinting.cc`` for the file that is left
out, since it is a hash of the old ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

from tfbundle.bundle.leftovers import model_notes
from tfbundle.bundle.locate import SAVED_MODEL_FILENAME
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import IfExists, check_vacant
from tfbundle.conversion.cast import cast_bundle
from tfbundle.conversion.companion import open_companion
from tfbundle.conversion.request import Request
from tfbundle.errors import BundleExistsError, FormatError, UnsupportedError
from tfbundle.format.naming import SAVED_MODEL_PREFIX
from tfbundle.reporting.report import CastReport
from tfbundle.storage import paths
from tfbundle.storage.base import Storage
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.storage.directory import list_all, staged_directory
from tfbundle.storage.stream import Stream
from tfbundle.streaming.run import RunOptions

_VARIABLES = "variables"
_COPIED = ("assets", "assets.extra", "keras_metadata.pb")
_FINGERPRINT = "fingerprint.pb"
_REPLACEABLE = (*_COPIED, SAVED_MODEL_FILENAME, _VARIABLES, _FINGERPRINT)
_URL_SEPARATOR = "/"


def halve_saved_model(source: str, target: str, request: Request, options: RunOptions, storage: Storage) -> CastReport:
    """Write a copy of a SavedModel whose variables are stored as float16.

    The whole directory becomes visible at once; in a store, which has no directories, file by file, the index of the
    variables last.

    Args:
        source: its directory, or its ``saved_model.pb``.
        target: the directory that will be the copy.
        request: which variables; without a graph.
        options: how.
        storage: where the source is.

    Returns:
        What was done to each variable, and to the graph.

    Raises:
        BundleExistsError: the target is there already, or is the source.
        UnsupportedError: the graph cannot be rewritten, or a directory cannot be listed.
        FormatError, CastError, ValueError, OSError: as ``cast``.
    """
    folder = paths.dirname(source) if paths.basename(source) == SAVED_MODEL_FILENAME else source
    for place in (folder, target):
        if not storage.can_list(place):
            raise UnsupportedError(
                "a SavedModel is converted as a whole, from and to directories that can be listed; "
                "--graph leave converts its checkpoint alone",
                place,
            )
    _check_place(folder, target, options.if_exists, storage)
    with (
        open_companion("SavedModel", paths.join(folder, SAVED_MODEL_FILENAME), storage, request.selection) as graph,
        open_bundle(paths.join(folder, SAVED_MODEL_PREFIX), storage=storage) as bundle,
    ):
        request = request._replace(graph=graph, layout=replace(request.layout, slices="keep"))
        if options.dry_run or paths.is_url(target):
            report = _cast_into(target, bundle, request, folder, options)
        else:
            with staged_directory(target, replace=options.if_exists == "replace") as stage:
                report = _cast_into(stage.path, bundle, request, folder, options)
                stage.publish()
    path = paths.join(target, SAVED_MODEL_FILENAME)
    notes = [note.replace(report.graph.target, path) for note in report.notes] if report.graph else report.notes
    left = _list_left(folder, storage)
    notes = [*notes, *([f"not copied: {', '.join(left)}"] if left else []), *model_notes(target, storage)]
    return replace(report, source=folder, target=target, notes=tuple(notes), graph=graph.report(path))


def _cast_into(home: str, bundle: BundleReader, request: Request, folder: str, options: RunOptions) -> CastReport:
    """Write a SavedModel to a directory that nobody sees yet, or to a store, where the index of the variables is last.

    Args:
        home: the directory.
        bundle: the variables.
        request: what to do, with the graph.
        folder: directory of the source.
        options: how.
    """
    storage = bundle.storage
    files = _find_files(folder, home, storage)
    old = [] if options.dry_run or not paths.is_url(home) else _list_old(home, storage)
    report = cast_bundle(bundle, paths.join(home, SAVED_MODEL_PREFIX), request._replace(beside=files), options)
    for path in old:
        if path not in files:
            storage.remove(path)
    return report


def _list_old(home: str, storage: Storage) -> list[str]:
    """Return the files of a SavedModel that is replaced, but those that every SavedModel has."""
    return [*_iter_files(home, storage), paths.join(home, _FINGERPRINT)]


def _check_place(folder: str, target: str, if_exists: IfExists, storage: Storage) -> None:
    """Refuse a target that is there already, unless it is a SavedModel that may be replaced.

    Raises:
        BundleExistsError: it is.
    """
    inner, outer = paths.resolve(folder), paths.resolve(target)
    if inner == outer or inner.startswith(os.path.join(outer, "")):
        raise BundleExistsError(f"the target is the source {folder}, or around it; choose another one", target)
    if outer.startswith(os.path.join(inner, "")):
        raise BundleExistsError(f"the target is within the source {folder}; choose another one", target)
    if not storage.exists(target):
        return
    if not storage.is_directory(target):
        raise BundleExistsError("exists already, and is no directory", target)
    names = storage.list_directory(target)
    check_vacant([target] if names else [], if_exists, storage)
    if others := [name for name in names if name not in _REPLACEABLE]:
        raise BundleExistsError(f"exists already, and has what no SavedModel has: {others[0]}", target)


def _find_files(folder: str, home: str, storage: Storage) -> dict[str, Stream]:
    """Return what goes with a graph, by the path that each file will have."""
    separator = _URL_SEPARATOR if paths.is_url(home) else os.sep
    found = {}
    for path in _iter_files(folder, storage):
        name = path[len(paths.join(folder, "")) :].replace(os.sep, separator)
        with closing(storage.open(path)) as file:
            found[paths.join(home, name)] = Stream(file.nbytes, partial(_iter_copied, path, file.nbytes, storage))
    return found


def _iter_copied(path: str, nbytes: int, storage: Storage) -> Iterator[bytes]:
    with closing(storage.open(path)) as file:
        if file.nbytes != nbytes:
            raise FormatError(f"{file.nbytes} bytes, {nbytes} when the run began: the file changed meanwhile", path)
        for offset in range(0, nbytes, WINDOW_NBYTES):
            yield file.read(offset, min(WINDOW_NBYTES, nbytes - offset))
        file.check_unchanged()


def _iter_files(folder: str, storage: Storage) -> Iterator[str]:
    """Yield the files that go with a graph, each directory's once.

    Raises:
        FormatError: a link leads to a directory that is there already, so that there might be no end.
        OSError: a directory cannot be listed.
    """
    names_in = storage.list_directory if paths.is_url(folder) else list_all
    waiting = [paths.join(folder, name) for name in _COPIED]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if storage.is_directory(path):
            place = paths.resolve(path)
            if place in seen:
                raise FormatError("a link to a directory that is copied already", path)
            seen.add(place)
            waiting += [paths.join(path, name) for name in names_in(path)]
        elif storage.exists(path):
            yield path


def _list_left(folder: str, storage: Storage) -> list[str]:
    """Return the names of what is in a SavedModel's directory and not in the copy."""
    return [name for name in storage.list_directory(folder) if name not in _REPLACEABLE]
