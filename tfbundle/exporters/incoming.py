"""Which arrays become tensors, under which names, and where they go: decided before any is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tfbundle.choosing.decisions import NOT_SELECTED, OPTIMIZER_STATE
from tfbundle.choosing.matching import match_names
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.optimizer import find_optimizer_state
from tfbundle.choosing.rename import rename_tensors
from tfbundle.choosing.select import Selection
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.exporters.arrays import RAW, Incoming, Source
from tfbundle.exporters.safetensors_header import METADATA_NAME
from tfbundle.format.dtypes import named_data_type
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name, name_to_key
from tfbundle.format.readable import plural

_MOST_NAMED = 5
_RAW = "{} raw bytes an element; --as PAT=bfloat16 or the like tells the dtype"
_RESERVED = key_to_name(OBJECT_GRAPH_KEY)


@dataclass(frozen=True)
class ImportOptions:
    """How files are taken.

    Attributes:
        skip_unsupported: leave out what cannot be a tensor, such as pickled objects, instead of refusing it.
        dtypes: (pattern, dtype) pairs: what the elements of arrays that match are taken for, bit by bit; for dtypes
            that numpy lacks, such as ``"bfloat16"``. The first pair that matches counts.

    Example:
        >>> ImportOptions(dtypes=(("*/kernel", "bfloat16"),)).skip_unsupported
        False
    """

    skip_unsupported: bool = False
    dtypes: tuple[tuple[str, str], ...] = ()


class Chosen(NamedTuple):
    """What is to be done.

    Attributes:
        arrays: those that become tensors, by their keys, which ascend.
        left_out: why, for each that does not, by name; the metadata may be among them.
    """

    arrays: dict[bytes, Incoming]
    left_out: dict[str, str]


def choose(source: Source, selection: Selection, naming: Naming, options: ImportOptions) -> Chosen:
    """Decide which arrays become tensors, and what these are called.

    Raises:
        ValueError: a pattern matches nothing, names collide, or options that are about casts.
        UnsupportedError: an array cannot be a tensor and is not to be skipped, or its name is none for a tensor.
        FormatError: elements of another size than a dtype that was asked for.
    """
    if selection.keep or selection.only or selection.like or selection.optimizer == "cast":
        raise ValueError("an import casts nothing: only drop, select and optimizer='drop' choose tensors")
    arrays = _take_for(source, options)
    names = [*arrays, *source.others]
    left_out = _leave_out(names, selection, has_metadata=bool(source.metadata))
    raw = {name: _RAW.format(array.dtype.nbytes) for name, array in arrays.items() if array.dtype.number == RAW}
    others = {name: why for name, why in ({**source.others, **raw}).items() if name not in left_out}
    if others and not options.skip_unsupported:
        named = "; ".join(f"{name!r}: {why}" for name, why in list(others.items())[:_MOST_NAMED])
        more = f"; and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        remedy = "--skip-unsupported (skip_unsupported=True) leaves such arrays out, --drop some of them"
        raise UnsupportedError(
            f"{plural(len(others), 'array')} cannot be made tensors: {named}{more}; {remedy}", source.path
        )
    left_out |= others
    new_names: Mapping[str, str] = {}
    if not naming.changes_nothing:
        renaming = rename_tensors(names, naming, left_out)
        new_names, left_out = renaming.names, left_out | dict(renaming.left_out)
    kept = {_key_of(new_names.get(name, name), source): array for name, array in arrays.items() if name not in left_out}
    return Chosen(dict(sorted(kept.items())), left_out)


def _take_for(source: Source, options: ImportOptions) -> dict[str, Incoming]:
    """Return the arrays by name, with the dtypes that were asked for."""
    arrays = {array.name: array for array in source.arrays}
    wanted: dict[str, str] = {}
    for pattern, dtype in options.dtypes:
        named_data_type(dtype)
        for name in match_names([pattern], arrays):
            wanted.setdefault(name, dtype)
    for name, dtype in wanted.items():
        element, stored = named_data_type(dtype), arrays[name].dtype
        if element.nbytes != stored.nbytes:
            reason = f"{stored.nbytes} bytes an element, which {dtype} with {element.nbytes} cannot be"
            raise FormatError(reason, arrays[name].file.path, f"tensor {name!r}")
        arrays[name] = arrays[name]._replace(dtype=element)
    return arrays


def _leave_out(names: list[str], selection: Selection, *, has_metadata: bool) -> dict[str, str]:
    """Return why, for each array that the selection leaves out, and for the metadata if it does."""
    known = [*names, METADATA_NAME] if has_metadata else names
    left_out = {name: f"--drop {pattern}" for name, pattern in match_names(selection.drop, known).items()}
    if selection.select:
        selected = match_names(selection.select, names)
        left_out |= {name: NOT_SELECTED for name in names if name not in selected and name not in left_out}
    if selection.optimizer == "drop":
        state = find_optimizer_state(dict.fromkeys(names))
        left_out |= {name: OPTIMIZER_STATE for name in names if name in state and name not in left_out}
    return left_out


def _key_of(name: str, source: Source) -> bytes:
    """Return the key of a tensor."""
    reserved = ("", _RESERVED, METADATA_NAME) if source.metadata else ("", _RESERVED)
    if name in reserved or name.startswith("\0"):
        reason = f"no tensor of a checkpoint can be called {name!r}; --rename or --drop it"
        raise UnsupportedError(reason, source.path)
    return name_to_key(name)
