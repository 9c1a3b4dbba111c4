"""Saving what is sound of a damaged bundle: the tensors whose bytes match their checksums, in a bundle of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tfbundle.bundle.beside import settle
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.soundness import Damage, check_rows, guess_cause, open_damaged
from tfbundle.bundle.target import check_not_same, check_target, room_note, target_prefix
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.conversion.regroup import regroup
from tfbundle.errors import BundleError, FormatError
from tfbundle.format.dtypes import STRING
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name, name_to_key
from tfbundle.format.object_graph import decode_object_graph, drop_values
from tfbundle.format.ordered_code import decode_slice_name
from tfbundle.format.strings import encode_strings
from tfbundle.storage.anywhere import Anywhere
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Edits
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.run import RunOptions, carry_out

_GRAPH_LOST = "the object graph is lost: tf.train.Checkpoint restores nothing, tf.train.load_checkpoint reads by name"
_GRAPH_LEFT = "the object graph could not be understood and still lists the values that are lost"


@dataclass(frozen=True)
class SalvageReport:
    """What a ``salvage`` saved, or would save, and what it did not.

    Attributes:
        source: prefix of the damaged bundle.
        target: prefix of the result.
        dry_run: whether nothing was written.
        num_tensors: how many tensors were saved.
        num_shards: how many data files they are in.
        nbytes: bytes of payload.
        lost: what was not saved, and why, in key order; a partitioned tensor is lost with any of its slices.
        lost_blocks: what is wrong with each part of the index that is damaged; the names of its tensors are unknown.
        hint: the likely cause, empty if nothing is lost or nothing is likely.
        notes: what the user should know beyond the numbers.
    """

    source: str
    target: str
    dry_run: bool
    num_tensors: int
    num_shards: int
    nbytes: int
    lost: tuple[Damage, ...]
    lost_blocks: tuple[str, ...]
    hint: str
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is lost."""
        return not (self.lost or self.lost_blocks)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, dictionaries, text and numbers."""
        return {"ok": self.ok, **asdict(self)}


def salvage(
    source: PathLike, target: PathLike, /, *, layout: Layout = Layout(), options: RunOptions = RunOptions()
) -> SalvageReport:
    """Write the tensors of a damaged bundle that are sound: those that match their checksums, byte for byte.

    Payloads and checksums stay what they are. Every payload is read twice, in windows of 1 MiB: to find what is sound,
    and to copy it. The object graph of a TF2 checkpoint no longer lists the values that are lost.

    Args:
        source: path as for ``open``; data files may be damaged, too short or missing, and blocks of the index damaged.
        target: a prefix, or a directory in which the result takes the source's name.
        layout: other shards than those of the source.
        options: workers, overwriting, progress; a dry run reads everything once and writes nothing.

    Returns:
        What was saved and what was lost; loss does not raise.

    Raises:
        BundleNotFoundError: no bundle there.
        BundleExistsError: the target is there already, or is the source.
        FormatError: nothing is left to save, or the index is damaged where all of it depends on. Nothing is written.
        UnsupportedError: the source is a V1 checkpoint, or no checkpoint.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> prefix = tempfile.mkdtemp() + "/model"
        >>> tfbundle.save(prefix, {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)})
        >>> with open(prefix + ".data-00000-of-00001", "r+b") as file:
        ...     _ = file.write(b"?")
        >>> [damage.tensor for damage in tfbundle.salvage(prefix, prefix + "-saved").lost]
        ['a']
        >>> list(tfbundle.load(prefix + "-saved"))
        ['b']
    """
    storage = Anywhere()
    storage.check_writable(storage.admit(target))
    bundle, lost_blocks = open_damaged(source, storage)
    with bundle:
        prefix = target_prefix(target, bundle.prefix, storage)
        check_not_same(bundle, prefix, storage)
        if not options.dry_run:
            check_target(prefix, bundle.shards.num_shards, options.if_exists, storage)  # before all that reading
        _, errors = check_rows(bundle)
        bundle.check_unchanged()
        lost = _find_lost_tensors(bundle.index, errors, index_is_whole=not lost_blocks)
        index, sources = regroup(bundle, _sound_rows(bundle.index, lost))
        if not len(index):
            raise _nothing_left(bundle, [*lost.values(), *lost_blocks])
        is_whole = not (lost or lost_blocks)
        edits, notes = (Edits(), []) if is_whole else _edit_object_graph(bundle, index)
        everything = Decisions.of([Decision("copy", "salvage")] * len(index.tensor_rows))
        plan = plan_conversion(index, [file.nbytes for file in sources], everything, layout, edits)
        if options.dry_run:
            notes.append(room_note(prefix, sum(plan.shard_nbytes), storage))
        else:
            check_target(prefix, plan.header.num_shards, options.if_exists, storage)
            carry_out(plan, sources, prefix, storage, on_overflow="error", options=options)
            notes += settle([bundle.prefix], prefix, plan.header.num_shards, storage)
        return SalvageReport(
            bundle.prefix,
            prefix,
            options.dry_run,
            len(everything),
            plan.header.num_shards,
            sum(plan.shard_nbytes),
            tuple(Damage(name, type(error).__name__, str(error)) for name, error in sorted(lost.items())),
            tuple(map(str, lost_blocks)),
            guess_cause(errors.values(), len(bundle.index)),
            tuple(notes),
        )


def _nothing_left(bundle: BundleReader, errors: Collection[BundleError]) -> FormatError:
    cause = guess_cause(errors, len(bundle.index))
    first = next((f"; the first of {len(errors)} errors: {error}" for error in errors), "")
    return FormatError(f"no tensor is left to save{first}{'; likely cause: ' if cause else ''}{cause}", bundle.prefix)


def _find_lost_tensors(
    index: BundleIndex, errors: dict[str, BundleError], *, index_is_whole: bool
) -> dict[str, BundleError]:
    """Return the tensors that cannot be saved, each with the reason; slices count for their tensor."""
    lost = dict(errors)
    for row in np.flatnonzero(index.sound_columns().sliced).tolist():
        key = index.keys_in_order[row]
        if (name := key_to_name(key)) in errors:
            continue
        slices = [key_to_name(slice_key) for slice_key, _ in index.slice_rows(key)]
        reasons = [errors[part] for part in slices if part in errors]
        if reasons:
            lost[name] = reasons[0]
    for key in index:
        owner = decode_slice_name(key)
        if owner is None:
            continue
        name = key_to_name(owner)
        if name in lost:
            lost.pop(key_to_name(key), None)
        elif owner not in index and not index_is_whole:
            lost[name] = FormatError("its entry stood in a damaged block of the index", "", f"tensor {name!r}")
            lost.pop(key_to_name(key), None)
    return lost


def _sound_rows(index: BundleIndex, lost: Collection[str]) -> dict[bytes, bytes]:
    """Return the rows of all other tensors, slices included."""
    gone = {name_to_key(name) for name in lost}
    return {key: value for key, value in index.iter_rows() if gone.isdisjoint(_iter_owners(key))}


def _iter_owners(key: bytes) -> Iterator[bytes]:
    """Yield a key, and if it is that of a slice that of the tensor, which damage may have made a slice as well."""
    owner: bytes | None = key
    while owner is not None:
        yield owner
        owner = decode_slice_name(owner)


def _edit_object_graph(bundle: BundleReader, saved: BundleIndex) -> tuple[Edits, list[str]]:
    """Take the values that are lost out of the object graph, if there is one."""
    names = {key_to_name(key) for key in saved.tensor_keys()}
    graph_name = key_to_name(OBJECT_GRAPH_KEY)
    if graph_name not in names:
        is_missed = graph_name in bundle or any("/.ATTRIBUTES/" in name for name in names)
        return Edits(), [_GRAPH_LOST] if is_missed else []
    entry = saved[OBJECT_GRAPH_KEY]
    if entry.dtype != STRING.number or entry.num_elements != 1 or entry.slices:
        return Edits(), [_GRAPH_LEFT]
    try:
        graph = bundle[graph_name].reshape(-1)[0]
        gone = {key for node in decode_object_graph(graph) for key in node.checkpoint_keys} - names
        return Edits(payloads={OBJECT_GRAPH_KEY: encode_strings([drop_values(graph, gone)])} if gone else {}), []
    except FormatError:
        return Edits(), [_GRAPH_LEFT]
