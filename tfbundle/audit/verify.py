"""Checking every tensor of a bundle against its checksum, without stopping at the first that fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from tfbundle.bundle.leftovers import leftover_notes
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.soundness import Damage, check_rows, guess_cause
from tfbundle.errors import FormatError
from tfbundle.format.extents import describe_overlap, find_overlaps, sort_by_place
from tfbundle.format.naming import key_to_name

_MAX_OFFSET = 2**63 - 1
USUAL_KEY_NBYTES = 64 << 10
"""Keys that are longer are noted: nobody names a tensor like that by intent."""


@dataclass(frozen=True)
class VerifyReport:
    """The verdict on a bundle.

    Attributes:
        prefix: of the bundle.
        num_tensors: how many tensors it has.
        num_shards: how many data files.
        nbytes: bytes of payload that were read.
        damages: what is wrong, in key order; empty for a sound bundle.
        hint: the likely cause, empty if nothing is wrong or nothing is likely.
        notes: what else is to be known: files of interrupted runs beside the bundle.
    """

    prefix: str
    num_tensors: int
    num_shards: int
    nbytes: int
    damages: tuple[Damage, ...]
    hint: str
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, dictionaries, text and numbers."""
        return {"ok": self.ok, **asdict(self)}


def verify(path: PathLike, /) -> VerifyReport:
    """Read every tensor of a bundle in bounded memory and compare it with its checksum.

    Args:
        path: as for ``tfbundle.open``.

    Returns:
        The verdict; damage in a tensor does not raise.

    Raises:
        BundleNotFoundError: no bundle there.
        FormatError: the index itself is damaged, so that there are no tensors to speak of.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> prefix = tempfile.mkdtemp() + "/model"
        >>> tfbundle.save(prefix, {"w": np.ones(4, np.float32)})
        >>> tfbundle.verify(prefix).ok
        True
    """
    with open_bundle(path) as bundle:
        report = verify_bundle(bundle)
        if bundle.is_v1:
            return report
        notes = leftover_notes(report.prefix, report.num_shards, bundle.storage)
        return replace(report, notes=(*_key_notes(bundle), *notes))


def verify_bundle(bundle: BundleReader) -> VerifyReport:
    """Return the verdict on an open bundle, and no notes."""
    nbytes, errors = check_rows(bundle)
    bundle.check_unchanged()
    damages = [Damage(name, type(error).__name__, str(error)) for name, error in errors.items()]
    if not bundle.is_v1:  # whose rows have no places
        damages += _find_overlaps(bundle)
    num_rows = len(bundle.index)
    hint = guess_cause(errors.values(), num_rows)
    num_tensors = num_rows if errors else len(bundle)
    return VerifyReport(bundle.prefix, num_tensors, bundle.index.header.num_shards, nbytes, tuple(damages), hint)


def _key_notes(bundle: BundleReader) -> list[str]:
    count = sum(len(key) > USUAL_KEY_NBYTES for key in bundle.index.keys_in_order)
    return [f"names of more than {USUAL_KEY_NBYTES} bytes: {count}"] if count else []


def _find_overlaps(bundle: BundleReader) -> Iterator[Damage]:
    columns = bundle.index.sound_columns()
    sane = columns.size <= _MAX_OFFSET - columns.offset
    order = sort_by_place(columns)
    for first, second in find_overlaps(columns, order[sane[order]]):
        name = key_to_name(bundle.index.keys_in_order[second])
        yield Damage(name, FormatError.__name__, describe_overlap(bundle.index, first, second))
