"""Deciding what becomes of each tensor: by its name, its dtype, and whether it is optimizer state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.casters import FLOATS, INTEGERS, can_cast
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.castable import is_lossless, usual_sources
from tfbundle.choosing.decisions import NOT_SELECTED, OPTIMIZER_STATE, Action, Decision, Decisions
from tfbundle.choosing.names import TensorNames, known_names
from tfbundle.choosing.select import Selection
from tfbundle.errors import UnsupportedError
from tfbundle.format.dtypes import dtype_name, named_data_type


def decide(
    names: Collection[str],
    dtypes: NDArray[np.uint8],
    selection: Selection,
    policy: CastPolicy | None,
    optimizer_state: Collection[str],
) -> Decisions:
    """Decide for every tensor what becomes of it.

    Args:
        names: of the tensors; ``TensorNames`` are matched by whatever they are known by.
        dtypes: number of each tensor's element type, in the same order.
        selection: which tensors the user chose.
        policy: what is cast to what; None where nothing is.
        optimizer_state: names of the tensors that an optimizer keeps for itself.

    Raises:
        ValueError: a pattern matches nothing, or there are no such casts.
        UnsupportedError: a rule asks for a cast that a tensor cannot have.

    Example:
        >>> decide(["w", "step"], np.array([1, 9], np.uint8), Selection(), CastPolicy(), ())[1]
        Decision(action='copy', reason='int64', dtype=0)
    """
    if policy is not None:
        check_castable(policy)
    chosen = _match_options(known_names(names), selection, policy)
    present = np.flatnonzero(np.bincount(dtypes, minlength=1)).tolist()
    by_dtype = {number: _decide_by_dtype(dtype_name(number), policy) for number in present}
    usual = Decisions.of(by_dtype[number] for number in present)
    decisions = usual.spread(np.searchsorted(present, dtypes))
    if chosen is _NOBODY and not optimizer_state:
        return decisions
    special: dict[Decision, list[int]] = {}
    for position, (name, number) in enumerate(zip(names, dtypes.tolist(), strict=True)):
        asked = _Asked(name, dtype_name(number), by_dtype[number], is_state=name in optimizer_state)
        if found := _decide_by_name(asked, chosen, selection):
            special.setdefault(found, []).append(position)
    return decisions.replaced(special)


def check_castable(policy: CastPolicy) -> None:
    """Check that there are such casts.

    Raises:
        ValueError: there are not.
    """
    for name in (policy.to, *policy.sources, *(dtype for _, dtype in policy.rules)):
        if name not in (*FLOATS, *INTEGERS):
            raise ValueError(f"no cast to or from {name!r}; there are {', '.join((*FLOATS, *INTEGERS))}")
    for source in policy.sources:
        if source == policy.to:
            raise ValueError(f"--from {source} is what --to says already: nothing would be cast")
        if not can_cast(source, policy.to):
            raise ValueError(f"no cast from {source} to {policy.to}: only floats to floats, integers to integers")


def _decide_by_dtype(dtype: str, policy: CastPolicy | None) -> Decision:
    if policy is not None and dtype != policy.to and dtype in (policy.sources or usual_sources(policy.to)):
        return Decision("cast", dtype, named_data_type(policy.to).number)
    return Decision("copy", dtype)


class _Chosen(NamedTuple):
    """The tensors that options name, each with the pattern that does."""

    drop: Mapping[str, str]
    select: Mapping[str, str] | None
    keep: Mapping[str, str]
    only: Mapping[str, str]
    rules: Mapping[str, tuple[str, str]]


_NOBODY = _Chosen({}, None, {}, {}, {})


def _match_options(names: TensorNames, selection: Selection, policy: CastPolicy | None) -> _Chosen:
    """Return the tensors that options name; ``_NOBODY`` where there are no such options."""
    dtype_rules = () if policy is None else policy.rules
    if not (dtype_rules or selection.drop or selection.select or selection.keep or selection.only):
        return _NOBODY
    from tfbundle.choosing.matching import match_names

    rules: dict[str, tuple[str, str]] = {}
    for pattern, dtype in dtype_rules:
        for name in match_names([pattern], names):
            rules.setdefault(name, (pattern, dtype))
    drop, selected, keep, only = (
        match_names(patterns, names) for patterns in (selection.drop, selection.select, selection.keep, selection.only)
    )
    if selection.select and not selected:
        raise ValueError(f"--select {' '.join(selection.select)} selects none of the {len(names)} tensors")
    stays = selected | dict.fromkeys(names.bookkeeping, "")  # what TensorFlow stores for itself
    return _Chosen(drop, stays if selection.select else None, keep, only, rules)


class _Asked(NamedTuple):
    """A tensor, and what would become of it by its dtype alone."""

    name: str
    dtype: str
    usual: Decision
    is_state: bool


def _decide_by_name(tensor: _Asked, chosen: _Chosen, selection: Selection) -> Decision | None:
    """Return what a tensor's name decides; None leaves it to the dtype."""
    name, would_cast = tensor.name, tensor.usual.action == "cast"
    if name in chosen.drop:
        return Decision("drop", f"--drop {chosen.drop[name]}")
    if chosen.select is not None and name not in chosen.select:
        return Decision("drop", NOT_SELECTED)
    if tensor.is_state and selection.optimizer == "drop":
        return Decision("drop", OPTIMIZER_STATE)
    if name in chosen.rules:
        return _follow_rule(tensor, *chosen.rules[name])
    protected = tensor.is_state and selection.optimizer == "keep"
    rules: tuple[tuple[bool, Action, str], ...] = (
        (name in chosen.keep, "keep", f"--keep {chosen.keep.get(name)}"),
        (bool(selection.only) and name not in chosen.only, "keep", "not in --only"),
        (protected and would_cast and _loses(tensor), "keep", OPTIMIZER_STATE),
    )
    return next((Decision(action, why) for applies, action, why in rules if applies and would_cast), None)


def _follow_rule(tensor: _Asked, pattern: str, dtype: str) -> Decision:
    reason = f"--rule {pattern}={dtype}"
    if dtype == tensor.dtype:
        return Decision("keep", reason)
    if not can_cast(tensor.dtype, dtype):
        raise UnsupportedError(f"{reason}: no cast from {tensor.dtype} to {dtype}, tensor {tensor.name!r}")
    return Decision("cast", reason, named_data_type(dtype).number)


def _loses(tensor: _Asked) -> bool:
    return not is_lossless(tensor.dtype, dtype_name(tensor.usual.dtype))
