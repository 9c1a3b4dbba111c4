"""Halving a SavedModel: a directory in which the variables are float16 and the graph restores them as float32.

Source: TensorFlow ``python/saved_model/constants.py``; ``cc/saved_model/fingerprinting.cc`` for the file that is left
out, since it is a hash of the old ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from tfbundle.bundle.leftovers import model_notes
from tfbundle.bundle.locate import SAVED_MODEL_FILENAME
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.target import IfExists, check_vacant
from tfbundle.conversion.cast import cast_bundle
from tfbundle.conversion.companion import Companion
from tfbundle.conversion.request import Request
from tfbundle.errors import BundleExistsError, FormatError, UnsupportedError
from tfbundle.reporting.report import CastReport
from tfbundle.storage import paths
from tfbundle.storage.base import Stage, Storage, staging
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.storage.directory import list_all, staged_directory
from tfbundle.storage.stream import Stream, write_stream
from tfbundle.streaming.run import RunOptions

_VARIABLES = "variables"
_COPIED = ("assets", "assets.extra", "keras_metadata.pb")
_REPLACEABLE = (*_COPIED, SAVED_MODEL_FILENAME, _VARIABLES, "fingerprint.pb")


def halve_saved_model(source: str, target: str, request: Request, options: RunOptions, storage: Storage) -> CastReport:
    """Write a copy of a SavedModel whose variables are stored as float16.

    The whole directory becomes visible at once.

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
        UnsupportedError: the graph cannot be rewritten, or the target is no directory of this machine.
        FormatError, CastError, ValueError, OSError: as ``cast``.
    """
    folder = paths.dirname(source) if paths.basename(source) == SAVED_MODEL_FILENAME else source
    if paths.is_url(target) or not storage.can_list(folder):
        raise UnsupportedError(
            "a SavedModel is converted as a whole from a directory that can be listed to one of this machine; "
            "--graph leave converts its checkpoint alone",
            target if paths.is_url(target) else folder,
        )
    graph = Companion("SavedModel", paths.join(folder, SAVED_MODEL_FILENAME), storage, request.selection)
    request = request._replace(graph=graph, layout=replace(request.layout, slices="keep"))
    _check_place(folder, target, options.if_exists, storage)
    with open_bundle(paths.join(folder, _VARIABLES, _VARIABLES), storage=storage) as bundle:
        if options.dry_run:
            report = cast_bundle(bundle, paths.join(target, _VARIABLES, _VARIABLES), request, options)
        else:
            with staged_directory(target, replace=options.if_exists == "replace") as stage:
                prefix = paths.join(stage.path, _VARIABLES, _VARIABLES)
                report = cast_bundle(bundle, prefix, request, options)
                _add_files(folder, stage.path, graph.contents, storage)
                stage.publish()
    path = paths.join(target, SAVED_MODEL_FILENAME)
    notes = [note.replace(report.graph.target, path) for note in report.notes] if report.graph else report.notes
    left = _list_left(folder, storage)
    notes = [*notes, *([f"not copied: {', '.join(left)}"] if left else []), *model_notes(target, storage)]
    return replace(report, source=folder, target=target, notes=tuple(notes), graph=graph.report(path))


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


def _add_files(folder: str, target: str, graph: Stream, storage: Storage) -> None:
    """Write the graph, and copy what goes with it, into a directory that nobody sees yet."""
    with staging(storage, replace=False) as stage:
        for path in _iter_files(folder, storage):
            _copy(path, paths.join(target, path[len(paths.join(folder, "")) :]), stage, storage)
        last = paths.join(target, SAVED_MODEL_FILENAME)
        write_stream(graph, stage.create(last))
        stage.publish(last)


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


def _copy(path: str, target: str, stage: Stage, storage: Storage) -> None:
    source, copy = storage.open(path), stage.create(target)
    try:
        for offset in range(0, source.nbytes, WINDOW_NBYTES):
            copy.write_at(offset, source.read(offset, min(WINDOW_NBYTES, source.nbytes - offset)))
        source.check_unchanged()
    finally:
        source.close()


def _list_left(folder: str, storage: Storage) -> list[str]:
    """Return the names of what is in a SavedModel's directory and not in the copy."""
    return [name for name in storage.list_directory(folder) if name not in _REPLACEABLE]
