"""Merging bundles into one: rows united, data files taken over.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``MergeBundles``), which moves the data files and
removes the inputs; here that is one choice of three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

from tfbundle.bundle.beside import settle
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.publish import publish_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import check_not_same, check_target, room_note, target_prefix
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.entries import decode_entry, encode_entry
from tfbundle.format.extents import check_places, sort_by_place
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import INDEX_SUFFIX, data_filename, index_filename, key_to_name
from tfbundle.format.plain import encode_plain_entry
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import ReadableFile, Storage, staging
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.run import RunOptions, carry_out

Files = Literal["copy", "link", "move"]

_MOST_INPUTS = 4  # that an error names
_PART = re.compile(r"part-[0-9]{5,}-of-[0-9]{5,}" + re.escape(INDEX_SUFFIX))


@dataclass(frozen=True)
class MergeReport:
    """What a ``merge`` did, or would do.

    Attributes:
        sources: prefixes of the inputs.
        target: prefix of the result.
        num_tensors: how many tensors it has.
        num_shards: how many data files.
        nbytes: bytes of payload.
        notes: what the user should know beyond the numbers.
    """

    sources: tuple[str, ...]
    target: str
    num_tensors: int
    num_shards: int
    nbytes: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, dictionaries, text and numbers."""
        return asdict(self)


def merge(
    sources: Sequence[PathLike],
    target: PathLike,
    /,
    *,
    files: Files = "copy",
    layout: Layout = Layout(),
    options: RunOptions = RunOptions(),
) -> MergeReport:
    """Unite bundles that hold different tensors, or different slices of the same tensors.

    The data files become the shards of the result, in the order in which the rows of the inputs first need them. Every
    payload is verified.

    Args:
        sources: paths as for ``open``; a directory with the parts of an unfinished save
            (``…_temp/part-00000-of-00002.index``) stands for all of them.
        target: a prefix, or a directory in which the result takes the first input's name.
        files: ``"copy"`` leaves the inputs as they are; ``"link"`` makes hard links to their data files;
            ``"move"`` takes the data files over and removes the inputs' indexes, as TensorFlow does.
        layout: other shards than those of the inputs; for ``"copy"`` only.
        options: workers, overwriting, dry run, progress.

    Raises:
        BundleNotFoundError: an input, or one of its shards, is missing.
        BundleExistsError: the target is there already, or is an input.
        FormatError: an input is damaged, or the inputs contradict each other.
        UnsupportedError: an input is a V1 checkpoint.
        ValueError: no inputs, or options that do not go together.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> folder = tempfile.mkdtemp()
        >>> tfbundle.save(folder + "/a", {"v": np.float32(1)})
        >>> tfbundle.save(folder + "/b", {"w": np.float32(2)})
        >>> tfbundle.merge([folder + "/a", folder + "/b"], folder + "/ab").num_shards
        2
    """
    storage = Anywhere()
    _check_request(files, layout)
    storage.check_writable(storage.admit(target))
    with ExitStack() as stack:
        bundles = [
            stack.enter_context(open_bundle(path, storage=storage))
            for source in sources
            for path in _expand_parts(storage.admit(source), storage)
        ]
        if not bundles:
            raise ValueError("At least one prefix checkpoint file must exist, but none was given")
        prefix = target_prefix(target, bundles[0].prefix, storage)
        for bundle in bundles:
            _check_input(bundle, prefix, storage)
        try:
            index, shards = unite(bundles)
            plan = _plan(index, shards, layout)
        except FormatError as error:
            raise error.add_path(_name_inputs(bundles)) from error
        nbytes, num_shards = sum(plan.shard_nbytes), plan.header.num_shards
        notes = [room_note(prefix, nbytes, storage)] if files == "copy" else []
        if not options.dry_run:
            check_target(prefix, num_shards, options.if_exists, storage)
            if files == "copy":
                carry_out(plan, shards, prefix, storage, on_overflow="error", options=options)
            else:
                _link_files(bundles, index, shards, prefix, options)
            notes = settle((bundle.prefix for bundle in bundles), prefix, num_shards, storage)
            if files == "move":
                _remove_inputs(bundles, shards, prefix)
        names = tuple(bundle.prefix for bundle in bundles)
        return MergeReport(names, prefix, len(plan.decisions), num_shards, nbytes, tuple(notes))


def _check_request(files: Files, layout: Layout) -> None:
    if files not in get_args(Files):
        raise ValueError(f"files is {files!r}, expected one of {get_args(Files)}")
    if files != "copy" and layout != Layout():
        raise ValueError("only copied data can be laid out anew; leave out --link and --move, or the shard options")


def _name_inputs(bundles: Sequence[BundleReader]) -> str:
    """Return what an error calls the inputs, where it is about several of them."""
    names = [bundle.prefix for bundle in bundles]
    more = f" and {len(names) - _MOST_INPUTS} more" if len(names) > _MOST_INPUTS else ""
    return ", ".join(names[:_MOST_INPUTS]) + more


def _expand_parts(path: str, storage: Storage) -> list[str]:
    """Return the parts of an unfinished save that a directory holds, or the path itself."""
    names = storage.list_directory(path) if storage.is_directory(path) else []
    parts = [paths.join(path, name.removesuffix(INDEX_SUFFIX)) for name in names if _PART.fullmatch(name)]
    return parts or [path]


def _check_input(bundle: BundleReader, prefix: str, storage: Storage) -> None:
    if bundle.is_v1:
        raise UnsupportedError(
            "a V1 checkpoint cannot be merged; halve --keep '*' makes a bundle of it that can", bundle.prefix
        )
    check_not_same(bundle, prefix, storage)


def unite(bundles: Sequence[BundleReader]) -> tuple[BundleIndex, list[ReadableFile]]:
    """Unite the indexes of bundles; return the result and the data files in the order of their new numbers.

    Raises:
        FormatError: the same tensor in two of them, unless both hold slices of it; or bundles of different byte
            order.
    """
    headers = [bundle.index.header for bundle in bundles]
    if len({header.endianness for header in headers}) > 1:
        raise FormatError("Merging bundles with conflicting endianness; inputs corrupted?")
    if len({header.version for header in headers}) > 1:
        raise FormatError("Merging bundles with different format versions")
    rows: dict[bytes, bytes] = {}
    shards: list[ReadableFile] = []
    for bundle in bundles:
        numbers: dict[int, int] = {}
        _check_places(bundle)
        for row in _iter_index(bundle):
            if row.shard_id not in numbers:
                numbers[row.shard_id] = len(shards)
                shards.append(bundle.shards.open(row.shard_id))
            moved = row.move(numbers[row.shard_id])
            rows[row.key] = _unite_rows(bundle.prefix, row.key, rows[row.key], moved) if row.key in rows else moved
    header = replace(headers[0], num_shards=len(shards))
    return BundleIndex(header, dict(sorted(rows.items()))), shards


class _IndexRow(NamedTuple):
    """A row of an input, encoded, and what of it is needed to give it another shard."""

    key: bytes
    value: bytes
    head_nbytes: int
    shard_id: int
    offset: int
    size: int
    crc32c: int

    def move(self, shard_id: int) -> bytes:
        """Return the encoded entry with another shard."""
        if self.head_nbytes:
            return encode_plain_entry(self.value[: self.head_nbytes], shard_id, self.offset, self.size, self.crc32c)
        return encode_entry(replace(decode_entry(self.value), shard_id=shard_id))


def _check_places(bundle: BundleReader) -> None:
    """Refuse damaged entries, and payloads outside the data files or in one another; files without any may be missing.

    Raises:
        FormatError: there are some.
        BundleNotFoundError: a data file with payloads is missing.
    """
    shards, index = bundle.shards, bundle.index
    try:
        used = set(index.columns.shard_id.tolist())
        nbytes = [shards.open(number).nbytes if number in used else 0 for number in range(shards.num_shards)]
        check_places(index, sort_by_place(index.columns), nbytes)
    except FormatError as error:
        raise error.add_path(index_filename(bundle.prefix)) from error


def _iter_index(bundle: BundleReader) -> Iterator[_IndexRow]:
    index, columns = bundle.index, bundle.index.columns
    parts = (columns.head_nbytes, columns.shard_id, columns.offset, columns.size, columns.crc32c)
    yield from map(_IndexRow, index.keys_in_order, index.values_in_order, *(part.tolist() for part in parts))


def _unite_rows(prefix: str, key: bytes, first_value: bytes, second_value: bytes) -> bytes:
    name = key_to_name(key)
    first, second = decode_entry(first_value), decode_entry(second_value)
    if not first.slices and not second.slices:
        raise FormatError(f"Duplicate tensor keyed by {name} encountered, when merging prefix: {prefix}")
    if not first.slices or not second.slices:
        raise FormatError(
            f"Duplicate tensor keyed by {name}; attempting to merge in a non-slice bundle entry: {prefix}"
        )
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        raise FormatError(
            f"slices of {name} are {dtype_name(first.dtype)} {list(first.shape)} in one bundle and "
            f"{dtype_name(second.dtype)} {list(second.shape)} in another: {prefix}"
        )
    return encode_entry(replace(first, slices=first.slices + second.slices))


def _plan(index: BundleIndex, shards: Sequence[ReadableFile], layout: Layout) -> Plan:
    everything = Decisions.of([Decision("copy", "merge")] * len(index.tensor_rows))
    return plan_conversion(index, [shard.nbytes for shard in shards], everything, layout)


def _link_files(
    bundles: Sequence[BundleReader],
    index: BundleIndex,
    shards: Sequence[ReadableFile],
    prefix: str,
    options: RunOptions,
) -> None:
    """Link the data files to their new names, and publish the index."""
    storage = bundles[0].storage
    for bundle in bundles:
        for key in bundle.index:
            bundle.check_payload(key_to_name(key))
    with staging(storage, replace=options.if_exists == "replace") as stage:
        for number, shard in enumerate(shards):
            stage.link(shard.path, data_filename(prefix, number, len(shards)))
        for shard in shards:
            shard.check_unchanged()
        publish_bundle(stage, storage, prefix, index.header, index.iter_rows(), options.if_exists)


def _remove_inputs(bundles: Sequence[BundleReader], shards: Sequence[ReadableFile], prefix: str) -> None:
    """Remove indexes and data files once the result is complete.

    Raises:
        OSError: one stays where it is; the message says that the result is complete.
    """
    storage = bundles[0].storage
    try:
        for path in (*(index_filename(bundle.prefix) for bundle in bundles), *(shard.path for shard in shards)):
            storage.remove(path)
    except OSError as error:
        reason = f"{error.strerror}; {prefix} is complete, but its inputs could not all be removed"
        raise OSError(error.errno, reason, error.filename) from error
