"""Saying where tensors that are not averaged differ, with the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfbundle.blending.blend import Difference
from tfbundle.bundle.reader import BundleReader
from tfbundle.format.dtypes import STRING, data_type
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name

_MOST_NOTES = 5
_MOST_NBYTES = 1 << 20  # of strings, whose payload is read whole to find the first that differs
_MOST_CHARACTERS = 60

_Found = tuple[tuple[int, ...], str, str]  # place and both values


def check_agreement(bundles: Sequence[BundleReader], differences: Mapping[bytes, Difference]) -> None:
    """Refuse tensors that differ, object graphs aside.

    Raises:
        ValueError: there are some; the message names the first, and its values.
    """
    keys = [key for key in sorted(differences) if key != OBJECT_GRAPH_KEY]
    if keys:
        more = f" (and {len(keys) - 1:,} more)" if len(keys) > 1 else ""
        first = describe_difference(bundles, keys[0], differences[keys[0]])
        raise ValueError(f"{first}{more}; --integers last (integers='last') would take the last")


def difference_notes(bundles: Sequence[BundleReader], differences: Mapping[bytes, Difference]) -> list[str]:
    """Return notes that name the tensors that differ, and the values of the first few."""
    keys = sorted(differences)
    notes = [
        describe_difference(bundles, key, differences[key]) + "; taken from the last" for key in keys[:_MOST_NOTES]
    ]
    if len(keys) > _MOST_NOTES:
        notes.append(f"{len(keys) - _MOST_NOTES:,} more tensors differ and were taken from the last")
    return notes


def describe_difference(bundles: Sequence[BundleReader], key: bytes, difference: Difference) -> str:
    """Return which tensor differs, first where, and what the values are there."""
    pair = (bundles[difference.lane], bundles[-1])
    dtype = data_type(bundles[-1].index[key].dtype)
    label = f"{bundles[-1].index.label(key)} ({dtype.name})"
    if key == OBJECT_GRAPH_KEY:
        return f"the object graph is not the same in {pair[0].prefix} and {pair[1].prefix}"
    name = key_to_name(key)
    found: _Found | None = None
    if difference.offset is not None:
        number = difference.offset // dtype.nbytes
        where = tuple(map(int, np.unravel_index(number, bundles[-1].index[key].shape)))
        found = (where, str(pair[0].read(name, where)), str(pair[1].read(name, where)))
    elif dtype == STRING:
        found = _first_strings(pair, name)
    if found is None:
        return f"{label} is not the same in {pair[0].prefix} and {pair[1].prefix}"
    where, first, second = found
    place = f" at {list(where)}" if where else ""
    return f"{label}{place} is {first} in {pair[0].prefix} and {second} in {pair[1].prefix}"


def _first_strings(pair: tuple[BundleReader, BundleReader], name: str) -> _Found | None:
    """Return place and values of the first string that differs, None where that is too much to read."""
    if max(bundle.payload_nbytes(name) for bundle in pair) > _MOST_NBYTES:
        return None
    first, second = (bundle.read(name) for bundle in pair)
    places = np.argwhere(first != second)
    if not len(places):
        return None  # the same strings, encoded in two ways
    where = tuple(places[0].tolist())
    return where, _format_string(first[where]), _format_string(second[where])


def _format_string(value: bytes) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… ({len(value):,} bytes)"
