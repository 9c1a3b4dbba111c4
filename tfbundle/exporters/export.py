"""Exporting: the tensors of a checkpoint into the files of others, bit for bit unless they are to be cast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tfbundle.bundle.leftovers import abandoned_notes
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import check_vacant, room_note
from tfbundle.bundle.transcode import readable_bundle
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import StatsTable
from tfbundle.choosing.decisions import OVERFLOW, Decision
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.exporters.forms import Form
from tfbundle.exporters.frame import Frame
from tfbundle.exporters.framing import check_not_source, fill_frame
from tfbundle.exporters.metadata import read_metadata
from tfbundle.exporters.npy_frame import LIST_NAME, find_npy, frame_npy, is_plain_file
from tfbundle.exporters.npz_frame import SUFFIX as NPZ_SUFFIX
from tfbundle.exporters.npz_frame import frame_npz
from tfbundle.exporters.request import GRAPH, METADATA, ExportOptions, Request, list_outgoing, place_in_frame
from tfbundle.exporters.safetensors_frame import SUFFIX as SAFETENSORS_SUFFIX
from tfbundle.exporters.safetensors_frame import find_safetensors, frame_safetensors, is_safetensors_of
from tfbundle.format.dtypes import data_type
from tfbundle.reporting.notes import UNKNOWN_OVERFLOW_NOTE
from tfbundle.reporting.report import CastReport, TensorReports
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.run import RunOptions, survey

_RAW_NOTE = "numpy has no {0}: {1} as integers with the same bits; import takes them for what they are"
_GRAPH_NOTE = "the object graph is left out: only TensorFlow's own files have a place for it"
_METADATA_NOTE = "metadata is left out, since .npz has no place for it: {0}"


@dataclass(frozen=True)
class ExportReport(CastReport):
    """What an ``export`` did, or would do.

    Has the attributes of a ``CastReport``, and two more.

    Attributes:
        form: ``"safetensors"``, ``"npz"`` or ``"npy"``.
        files: paths of the files, the one that was published last at the end.
    """

    form: Form = "safetensors"
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain lists, dictionaries, text and numbers."""
        return {**super().to_dict(), "form": self.form, "files": list(self.files)}


class Target(NamedTuple):
    """Where an export goes: the kind of its files, and the path of the file or the directory."""

    form: Form
    path: str

    @classmethod
    def parse(cls, path: PathLike, storage: Storage) -> Target:
        """Return what a path asks for.

        Raises:
            UnsupportedError: what cannot be written there.
            ValueError: nothing that can be made.
        """
        text = storage.admit(path)
        storage.check_writable(text)
        if text.endswith(SAFETENSORS_SUFFIX):
            return cls("safetensors", text)
        if text.endswith(NPZ_SUFFIX):
            if paths.is_url(text):
                raise UnsupportedError(
                    "an archive is not written from first to last byte; write it here, and copy it", text
                )
            return cls("npz", text)
        if paths.ends_as_directory(text) or storage.is_directory(text):
            return cls("npy", paths.strip_end(text))
        raise ValueError(f"{text!r} says no kind of file: expected FILE.safetensors, FILE.npz, or DIR/ for .npy files")

    def frame(self, plan: Plan, metadata: Mapping[str, str], max_shard_nbytes: int | None) -> Frame:
        """Lay out the files for what a plan writes."""
        outgoing = list_outgoing(plan)
        if self.form == "safetensors":
            return frame_safetensors(self.path, outgoing, metadata, max_shard_nbytes)
        if max_shard_nbytes is not None:
            raise ValueError("--max-shard-size (max_shard_nbytes) is for safetensors files")
        return frame_npz(self.path, outgoing) if self.form == "npz" else frame_npy(self.path, outgoing, metadata)

    def find_old(self, storage: Storage) -> list[str]:
        """Return the files that are there of an earlier export to the same place."""
        if self.form == "npz":
            return [self.path] if storage.exists(self.path) else []
        find = find_safetensors if self.form == "safetensors" else find_npy
        return find(self.path, storage)

    def leftover_notes(self, storage: Storage) -> list[str]:
        """Name what exports to the same place left when they were killed."""
        directory, base = paths.split(self.path)
        if self.form == "safetensors":
            return abandoned_notes(directory, lambda name: is_safetensors_of(base, name), storage)
        notes = abandoned_notes(directory, lambda name: name == base, storage)  # a copy of a V1 checkpoint, perhaps
        if self.form == "npy":
            notes += abandoned_notes(self.path, lambda name: name == LIST_NAME or is_plain_file(name), storage)
        return notes


def export(
    source: PathLike,
    target: PathLike,
    /,
    *,
    policy: CastPolicy | None = None,
    selection: Selection = Selection(),
    naming: Naming = Naming(),
    files: ExportOptions = ExportOptions(),
    options: RunOptions = RunOptions(),
) -> ExportReport:
    """Write the tensors of a checkpoint into a safetensors file, a ``.npz`` archive or a directory of ``.npy`` files.

    Reads and writes in windows of 1 MiB, whatever the size of a tensor; every checksum of the source is verified.
    Values stay what they are, bit for bit, unless ``policy`` has them cast. Partitioned tensors are joined. The files
    appear together, or not at all.

    Args:
        source: a prefix, any file of the checkpoint, a directory with a ``checkpoint`` file, or a SavedModel directory.
        target: ``FILE.safetensors``, ``FILE.npz``, or a directory, which exists or is given by a closing separator.
        policy: what is cast to what; None to cast nothing.
        selection: which tensors; ``keep`` and ``only`` are about casts. ``like`` is for checkpoints.
        naming: what tensors are called in the files.
        files: sizes of files, metadata, and what to do with what they cannot hold, such as strings. The object graph
            of a TF2 checkpoint is always left out.
        options: workers, overwriting, dry run, progress.

    Returns:
        What was done to each tensor, what the cast did to its numbers, and the paths of the files.

    Raises:
        BundleNotFoundError: no source, or one of its shards is missing.
        BundleExistsError: the target is there already, or is a file of the source.
        FormatError: the source is damaged, or changed while it was read. Nothing is left behind.
        CastError: values overflow and ``policy`` does not allow it. Nothing is left behind.
        UnsupportedError: tensors, or names, that the files cannot hold; the message names them.
        ValueError: a pattern matches nothing, new names collide, or ``target`` says no kind of file.
        OSError: reading or writing failed. Nothing is left behind.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> folder = tempfile.mkdtemp()
        >>> tfbundle.save(folder + "/model", {"w": np.ones(4, np.float32), "step": np.int64(7)})
        >>> tfbundle.export(folder + "/model", folder + "/model.npz").target_nbytes
        24
        >>> np.load(folder + "/model.npz")["w"]
        array([1., 1., 1., 1.], dtype=float32)
    """
    storage = Anywhere()
    if selection.like:
        raise ValueError("selection.like is for checkpoints, not for an export")
    place = Target.parse(target, storage)
    if options.executor is not None and paths.is_url(place.path):
        raise ValueError(
            "an executor cannot share in these uploads; leave it out, or write to a disk that all workers see"
        )
    request = Request(place.form, policy, selection, naming, files)
    with open_bundle(source, storage=storage) as bundle:
        try:
            return _export(bundle, place, request, options)
        except FormatError as error:
            raise error.add_path(bundle.prefix) from error


def _export(bundle: BundleReader, place: Target, request: Request, options: RunOptions) -> ExportReport:
    storage = bundle.storage
    plan = request.plan(bundle)
    metadata = _gather_metadata(bundle, plan, request.options)
    frame = place.frame(plan, metadata, request.options.max_shard_nbytes)
    old = place.find_old(storage)
    check_not_source(bundle, [*frame.paths, *old], storage)
    stats: StatsTable | None = None
    on_overflow = request.policy.on_overflow if request.policy else "error"
    notes = _notes(plan, place.form, metadata)
    if options.dry_run:
        notes += [UNKNOWN_OVERFLOW_NOTE] if on_overflow == "keep" else []
        notes.append(room_note(frame.paths[-1], sum(frame.nbytes), storage))
    else:
        check_vacant((*old, *frame.paths), options.if_exists, storage)
        with readable_bundle(bundle, place.path) as readable:
            plan = request.plan(readable)
            if on_overflow == "keep":
                plan = _keep_overflowing(readable, request, plan, options)
            frame = place.frame(plan, metadata, request.options.max_shard_nbytes)
            plan = place_in_frame(plan, frame)
            stats = fill_frame(frame, plan, readable, old, on_overflow=on_overflow, options=options)
        notes += place.leftover_notes(storage)
    target_nbytes = int(plan.targets.size[plan.targets.order].sum())
    return ExportReport(
        bundle.prefix,
        place.path if place.form == "npy" else frame.paths[-1],
        options.dry_run,
        int(plan.index.columns.size.sum()),
        target_nbytes,
        TensorReports(plan, stats),
        tuple(notes),
        form=place.form,
        files=tuple(frame.paths),
    )


def _gather_metadata(bundle: BundleReader, plan: Plan, options: ExportOptions) -> dict[str, str]:
    known = read_metadata(bundle) if plan.decisions.are("drop", METADATA).any() else {}
    return {**known, **options.metadata}


def _keep_overflowing(bundle: BundleReader, request: Request, plan: Plan, options: RunOptions) -> Plan:
    """Return the plan in which tensors whose values would overflow keep their dtype; reads everything."""
    found = survey(plan, bundle.open_shards(), bundle.storage, on_overflow="keep", options=options)
    overflowing = np.flatnonzero(found.overflow).tolist()
    return request.plan(bundle, plan.decisions.replaced({Decision("keep", OVERFLOW): overflowing}))


def _notes(plan: Plan, form: Form, metadata: Mapping[str, str]) -> list[str]:
    """Say what the files do not tell as the checkpoint does."""
    notes = [_GRAPH_NOTE] if plan.decisions.are("drop", GRAPH).any() else []
    if form == "npz" and metadata:
        notes.append(_METADATA_NOTE.format(", ".join(sorted(metadata))))
    if plan.joined:
        many = "tensor is" if len(plan.joined) == 1 else "tensors are"
        notes.append(f"{len(plan.joined)} partitioned {many} joined")
    counts = np.bincount(plan.targets.dtype[plan.targets.order], minlength=1)
    for number in np.flatnonzero(counts).tolist():
        if form != "safetensors" and not data_type(number).native:
            count = int(counts[number])
            many = "tensor is stored" if count == 1 else "tensors are stored"
            notes.append(_RAW_NOTE.format(data_type(number).name, f"{count} {many}"))
    return notes
