"""Putting a partitioned tensor together from its slices, or the part of it that is wanted.

TensorFlow does so for some dtypes only; here any dtype goes.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``BundleReader::GetSliceValue``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.payloads import Payloads
from tfbundle.bundle.region import Where, bounding_box, normalize_index, pick_from_box
from tfbundle.format.entries import BundleEntry
from tfbundle.format.slices import Box, check_covered

if TYPE_CHECKING:
    from tfbundle.bundle.v1 import V1Payloads


def assemble(
    payloads: Payloads | V1Payloads,
    entry: BundleEntry,
    rows: Sequence[tuple[bytes, Box]],
    dtype: np.dtype[Any],
    where: Where,
) -> NDArray[Any]:
    """Read a partitioned tensor or a part of it.

    Args:
        payloads: reads the slices.
        entry: the tensor's own entry.
        rows: key and place of each slice, disjoint.
        dtype: of the result.
        where: which part, as for ``BundleReader.read``.

    Raises:
        FormatError: the slices leave a gap in what is wanted (checked before anything is allocated), or a
            slice that is read whole is damaged.
        IndexError, TypeError: ``where`` does not fit the tensor.
    """
    indices = normalize_index(where, entry.shape)
    wanted = Box(*bounding_box(indices))
    check_covered(wanted, (box for _, box in rows))
    needed = [(key, box, shared) for key, box in rows if (shared := wanted.intersect(box)) is not None]
    payloads.check_room([key for key, _, _ in needed])
    result = np.empty(wanted.sizes, dtype)
    for key, box, shared in needed:
        target = result[shared.within(wanted)] if shared.sizes else result
        if shared == box:
            payloads.read_into(key, target)
        else:
            payloads.read_box(key, tuple(index.start for index in shared.within(box)), target)
    return pick_from_box(result, indices)
