"""Which tensors become what: patterns on names, and the treatment of optimizer state."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args, overload

import numpy as np
from numpy.typing import NDArray

from tfbundle.format.dtypes import FLOAT32, dtype_name

Action = Literal["cast", "keep", "copy", "drop"]
"""Cast to the target dtype; keep a float32 tensor as it is; copy one of another dtype; leave it out."""

ACTIONS: tuple[Action, ...] = get_args(Action)

OptimizerState = Literal["keep", "cast", "drop"]

OPTIMIZER_STATE = "optimizer state"
"""The reason given for tensors that ``optimizer`` decided about."""

REGEX_MARK = "re:"
_VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class Selection:
    """Which float32 tensors to cast, and which tensors to leave out.

    Patterns are shell globs in which ``*`` also matches ``/``, or regular expressions after ``re:``, found anywhere in
    the name. A TF2 key may be given without its closing ``/.ATTRIBUTES/VARIABLE_VALUE``.

    Attributes:
        keep: tensors that stay in their dtype.
        only: when not empty, tensors outside it stay in their dtype.
        drop: tensors that the output leaves out.
        optimizer: ``"keep"`` leaves optimizer state float32, ``"cast"`` treats it like any tensor, ``"drop"`` leaves
            it out. Second moments of Adam are so small that float16 turns many of them into zero, which
            ruins continued training: hence the default.
        rename: (from, to) pairs, applied in order: a name that begins with ``from`` begins with ``to`` instead; after
            ``re:``, ``from`` is a regular expression and ``to`` may refer to its groups.

    Raises:
        ValueError: no such choice for ``optimizer``, or a malformed regular expression.

    Example:
        >>> Selection(keep=("*/batch_norm*",), optimizer="drop").optimizer
        'drop'
    """

    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    optimizer: OptimizerState = "keep"
    rename: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(OptimizerState):
            raise ValueError(f"optimizer is {self.optimizer!r}, expected one of {get_args(OptimizerState)}")
        for pattern in (*self.keep, *self.only, *self.drop):
            compile_pattern(pattern)
        for old, _ in self.rename:
            compile_pattern(old)


class Decision(NamedTuple):
    """What becomes of one tensor, and why."""

    action: Action
    reason: str


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression to search names for: that of a glob, or what follows ``re:``.

    Raises:
        ValueError: a malformed regular expression.

    Example:
        >>> bool(compile_pattern("conv*/kernel").search("conv_1/kernel"))
        True
    """
    if not pattern.startswith(REGEX_MARK):
        return re.compile(r"\A" + fnmatch.translate(pattern))
    try:
        return re.compile(pattern.removeprefix(REGEX_MARK))
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from error


def match_names(patterns: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Return the names that match, each with the first pattern that does.

    Raises:
        ValueError: a pattern matches no name, which is most often a slip; the message has close names.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        expression = compile_pattern(pattern)
        matches = [name for name in names if _matches(expression, name)]
        if not matches:
            close = difflib.get_close_matches(pattern, names, 3, 0.4) if len(names) <= 10_000 else []
            hint = f"; close names: {', '.join(close)}" if close else ""
            raise ValueError(f"pattern {pattern!r} matches none of the {len(names)} tensors{hint}")
        for name in matches:
            found.setdefault(name, pattern)
    return found


def _matches(expression: re.Pattern[str], name: str) -> bool:
    if expression.search(name):
        return True
    return name.endswith(_VALUE_SUFFIX) and bool(expression.search(name.removesuffix(_VALUE_SUFFIX)))


class Decisions(Sequence[Decision]):
    """What becomes of each of many tensors, and why, in columns.

    Args:
        actions: position in ``ACTIONS`` of what is done to each tensor.
        reasons: position in ``texts`` of why.
        texts: the reasons there are.
    """

    def __init__(self, actions: NDArray[np.uint8], reasons: NDArray[np.int32], texts: Sequence[str]) -> None:
        self.actions = actions
        self._reasons = reasons
        self._texts = tuple(texts)

    @classmethod
    def of(cls, decisions: Iterable[Decision]) -> Decisions:
        """Return the same decisions as columns."""
        listed = list(decisions)
        texts = list(dict.fromkeys(decision.reason for decision in listed))
        numbers = {text: number for number, text in enumerate(texts)}
        actions = np.array([ACTIONS.index(decision.action) for decision in listed], np.uint8)
        return cls(actions, np.array([numbers[decision.reason] for decision in listed], np.int32), texts)

    def __len__(self) -> int:
        return len(self.actions)

    @overload
    def __getitem__(self, position: int) -> Decision: ...
    @overload
    def __getitem__(self, position: slice) -> Decisions: ...
    def __getitem__(self, position: int | slice) -> Decision | Decisions:
        if isinstance(position, slice):
            return Decisions(self.actions[position], self._reasons[position], self._texts)
        return Decision(ACTIONS[self.actions[position]], self._texts[self._reasons[position]])

    def are(self, action: Action, reason: str | None = None) -> NDArray[np.bool_]:
        """Tell which tensors are treated this way, for this reason if one is given."""
        found = np.equal(self.actions, ACTIONS.index(action))
        if reason is not None:
            found &= self._reasons == (self._texts.index(reason) if reason in self._texts else -1)
        return found

    def count_reasons(self, action: Action) -> Counter[str]:
        """Count, for one action, the tensors that each reason explains; in the order in which they come up."""
        reasons = self._reasons[self.are(action)]
        counts = np.bincount(reasons, minlength=1)
        present = sorted(np.flatnonzero(counts).tolist(), key=lambda number: int(np.argmax(reasons == number)))
        return Counter({self._texts[number]: int(counts[number]) for number in present})


def decide(
    names: Collection[str], dtypes: NDArray[np.uint8], selection: Selection, optimizer_state: Collection[str]
) -> Decisions:
    """Decide for every tensor what becomes of it.

    Args:
        names: of the tensors.
        dtypes: number of each tensor's element type, in the same order.
        selection: what the user asked for.
        optimizer_state: names of the tensors that an optimizer keeps for itself.

    Raises:
        ValueError: a pattern matches nothing.

    Example:
        >>> decide(["w", "step"], np.array([1, 9], np.uint8), Selection(), ())[1]
        Decision(action='copy', reason='int64')
    """
    patterns = {
        option: match_names(getattr(selection, option), names) if getattr(selection, option) else {}
        for option in ("drop", "keep", "only")
    }
    present = np.flatnonzero(np.bincount(dtypes, minlength=1)).tolist()
    texts = [*dict.fromkeys(("float32", *map(dtype_name, present)))]
    actions = np.where(dtypes == FLOAT32.number, ACTIONS.index("cast"), ACTIONS.index("copy")).astype(np.uint8)
    by_dtype = np.zeros(256, np.int32)
    for number in present:
        by_dtype[number] = texts.index(dtype_name(number))
    reasons = by_dtype[dtypes]
    if any(patterns.values()) or optimizer_state:
        numbers = {text: number for number, text in enumerate(texts)}
        for position, name in enumerate(names):
            is_float = bool(dtypes[position] == FLOAT32.number)
            if found := _decide_by_name(name, patterns, selection, is_state=name in optimizer_state, is_float=is_float):
                actions[position] = ACTIONS.index(found.action)
                reasons[position] = numbers.setdefault(found.reason, len(numbers))
        texts = list(numbers)
    return Decisions(actions, reasons, texts)


def _decide_by_name(
    name: str, patterns: Mapping[str, Mapping[str, str]], selection: Selection, *, is_state: bool, is_float: bool
) -> Decision | None:
    """Return what a tensor's name decides; None leaves it to the dtype."""
    rules: tuple[tuple[bool, Action, str], ...] = (
        (name in patterns["drop"], "drop", f"--drop {patterns['drop'].get(name)}"),
        (is_state and selection.optimizer == "drop", "drop", OPTIMIZER_STATE),
        (is_float and name in patterns["keep"], "keep", f"--keep {patterns['keep'].get(name)}"),
        (is_float and bool(selection.only) and name not in patterns["only"], "keep", "not in --only"),
        (is_float and is_state and selection.optimizer == "keep", "keep", OPTIMIZER_STATE),
    )
    return next((Decision(action, why) for applies, action, why in rules if applies), None)
