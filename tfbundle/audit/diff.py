"""Telling what two checkpoints do not have in common: tensors, dtypes, shapes, values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.audit.closeness import Tolerance
from tfbundle.audit.differences import DiffOptions, DiffReport, DtypeDiff, ShapeDiff, ValueDiff
from tfbundle.audit.values import are_comparable, compare_values
from tfbundle.bundle.listing import Kind
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.soundness import refuse_bomb
from tfbundle.bundle.twins import find_twins, have_same_checksums
from tfbundle.choosing.names import TensorNames, read_names
from tfbundle.errors import BundleError
from tfbundle.format.naming import name_to_key


def diff(
    left: PathLike,
    right: PathLike,
    /,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    only: Sequence[str] = (),
    options: DiffOptions = DiffOptions(),
) -> DiffReport:
    """Compare two checkpoints, whatever their shards, partitions, byte order or version.

    Numbers are equal where ``|a - b| <= atol + rtol * |b|``, b on the right, as in ``numpy.isclose``; NaN equals
    NaN, and an infinity itself. So -0.0 equals 0.0; ``options.bits`` compares bits instead. Integers are compared with
    integers exactly, everything else as float64 or complex128. bfloat16 is a number; float8 and types narrower than
    a byte are compared by their bytes, strings byte for byte.

    Reads in windows of 1 MiB, whatever the size of a tensor, and verifies every checksum on both sides.

    Args:
        left: path as for ``open``.
        right: path as for ``open``.
        rtol: relative tolerance.
        atol: absolute tolerance.
        only: patterns as in ``Selection``; tensors that match none of them are left out.
        options: what counts as a difference.

    Raises:
        BundleNotFoundError: a checkpoint, or a data file with values to compare, is missing.
        FormatError: a checkpoint is damaged.
        ValueError: a tolerance that is none, or a pattern that matches nothing.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> folder = tempfile.mkdtemp()
        >>> tfbundle.save(folder + "/a", {"w": np.array([1, 2], np.float32)})
        >>> tfbundle.save(folder + "/b", {"w": np.array([1, 3], np.float32)})
        >>> report = tfbundle.diff(folder + "/a", folder + "/b")
        >>> report.equal, report.values[0].num_different, report.values[0].largest_absolute.value
        (False, 1, 1.0)
    """
    tolerance = Tolerance(rtol, atol, options.bits)
    _check_tolerance(tolerance)
    with open_bundle(left) as here, open_bundle(right) as there:
        for bundle in (here, there):
            refuse_bomb(bundle)
        sides = _choose(_Side.of(here), _Side.of(there), only)
        common = [name for name in sides[0].kinds if name in sides[1].kinds]
        dtypes, shapes = _compare_dtypes(*sides, common), _compare_shapes(*sides, common)
        skipped = {found.name for found in dtypes if not found.comparable} | {found.name for found in shapes}
        names = [name for name in common if name not in skipped]
        rest = _leave_out_equal(here, there, names, options)
        values = [_compare_values(*sides, name, tolerance) for name in rest]
        here.check_unchanged()
        there.check_unchanged()
        return DiffReport(
            here.prefix,
            there.prefix,
            tolerance,
            options,
            len(common),
            len(names) - len(rest) if options.quick else 0,
            tuple(name for name in sides[0].kinds if name not in sides[1].kinds),
            tuple(name for name in sides[1].kinds if name not in sides[0].kinds),
            dtypes,
            shapes,
            tuple(found for found in values if found.num_different),
            tuple(found for found in values if not found.num_different and (found.num_close or found.num_other_bits)),
        )


class _Side(NamedTuple):
    """One of the checkpoints, and its tensors that are compared."""

    bundle: BundleReader
    kinds: dict[str, Kind]

    @classmethod
    def of(cls, bundle: BundleReader) -> _Side:
        return cls(bundle, dict(bundle.list_tensors().iter_kinds()))


def _check_tolerance(tolerance: Tolerance) -> None:
    for name, value in (("rtol", tolerance.rtol), ("atol", tolerance.atol)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}, expected a number that is finite and not negative")
    if tolerance.bits and (tolerance.rtol or tolerance.atol):
        raise ValueError("bits are the same or not; leave out the tolerances, or bits")


def _choose(left: _Side, right: _Side, only: Sequence[str]) -> tuple[_Side, _Side]:
    if not only:
        return left, right
    from tfbundle.choosing.matching import match_in_any

    chosen = match_in_any(only, [_known_names(side.bundle) for side in (left, right)])
    kinds = ({name: kind for name, kind in side.kinds.items() if name in chosen} for side in (left, right))
    return _Side(left.bundle, next(kinds)), _Side(right.bundle, next(kinds))


def _known_names(bundle: BundleReader) -> TensorNames:
    """Return the names of a bundle's tensors, without its object graph where that cannot be read."""
    try:
        return read_names(bundle)
    except BundleError:  # it is told if the graph itself is compared
        return TensorNames(bundle)


def _compare_dtypes(left: _Side, right: _Side, names: Sequence[str]) -> tuple[DtypeDiff, ...]:
    return tuple(
        DtypeDiff(name, here, there, are_comparable(left.bundle, right.bundle, name))
        for name in names
        if (here := left.kinds[name].dtype) != (there := right.kinds[name].dtype)
    )


def _compare_shapes(left: _Side, right: _Side, names: Sequence[str]) -> tuple[ShapeDiff, ...]:
    return tuple(
        ShapeDiff(name, here, there)
        for name in names
        if (here := left.kinds[name].shape) != (there := right.kinds[name].shape)
    )


def _compare_values(left: _Side, right: _Side, name: str, tolerance: Tolerance) -> ValueDiff:
    tally = compare_values(left.bundle, right.bundle, name, tolerance)
    return ValueDiff(name, math.prod(left.kinds[name].shape), **vars(tally))


def _leave_out_equal(
    left: BundleReader, right: BundleReader, names: Sequence[str], options: DiffOptions
) -> Sequence[str]:
    """Return the tensors that are still to be compared, after those that many can be told of at once."""
    rows = _row_numbers(left, names), _row_numbers(right, names)
    equal = have_same_checksums(left, right, *rows) if options.quick else find_twins(left, right, *rows)
    rest = [names[at] for at in np.flatnonzero(~equal).tolist()]
    return [name for name in rest if not _have_same_slices(left, right, name)] if options.quick else rest


def _have_same_slices(left: BundleReader, right: BundleReader, name: str) -> bool:
    """Tell whether a tensor is partitioned in the same way on both sides, with the same checksums."""
    slices = left.entry(name).slices
    if not slices or slices != right.entry(name).slices:
        return False
    keys = [key for key, _ in left.index.slice_rows(name_to_key(name))]
    rows = (np.array([side.index.row_number(key) for key in keys], np.intp) for side in (left, right))
    return bool(have_same_checksums(left, right, *rows).all())


def _row_numbers(bundle: BundleReader, names: Sequence[str]) -> NDArray[np.intp]:
    return np.array([bundle.index.row_number(name_to_key(name)) for name in names], np.intp)
