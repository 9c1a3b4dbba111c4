"""What becomes of each tensor, and why: the outcome of all options, in columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args, overload

import numpy as np
from numpy.typing import NDArray

Action = Literal["cast", "keep", "copy", "drop"]
"""Cast to another dtype; keep a tensor that could be cast as it is; copy one that is not concerned; leave it out."""

ACTIONS: tuple[Action, ...] = get_args(Action)

OPTIMIZER_STATE = "optimizer state"
"""The reason given for tensors that ``Selection.optimizer`` decided about."""

NOT_SELECTED = "not in --select"
"""The reason given for tensors that ``Selection.select`` leaves out."""

NOT_LIKE = "not in --like"
"""The reason given for tensors that the template of ``Selection.like`` lacks."""

STRIPPED = "--strip-training"
"""The reason given for tensors that no output of the graph needs."""

OVERFLOW = "would overflow"
"""The reason given for tensors that ``CastPolicy.on_overflow="keep"`` left alone."""


class Decision(NamedTuple):
    """What becomes of one tensor, and why; ``dtype`` is the number of what it is cast to, 0 for all that are not."""

    action: Action
    reason: str
    dtype: int = 0


class Decisions(Sequence[Decision]):
    """What becomes of each of many tensors, and why, in columns.

    Args:
        actions: position in ``ACTIONS`` of what is done to each tensor.
        dtypes: number of the element type each is cast to; 0 for those that are not cast.
        reasons: position in ``texts`` of why.
        texts: the reasons there are.
    """

    def __init__(
        self, actions: NDArray[np.uint8], dtypes: NDArray[np.uint8], reasons: NDArray[np.int32], texts: Sequence[str]
    ) -> None:
        self.actions = actions
        self.dtypes = dtypes
        self._reasons = reasons
        self._texts = tuple(texts)

    @classmethod
    def of(cls, decisions: Iterable[Decision]) -> Decisions:
        """Return the same decisions as columns."""
        listed = list(decisions)
        texts = list(dict.fromkeys(decision.reason for decision in listed))
        numbers = {text: number for number, text in enumerate(texts)}
        return cls(
            np.array([ACTIONS.index(decision.action) for decision in listed], np.uint8),
            np.array([decision.dtype for decision in listed], np.uint8),
            np.array([numbers[decision.reason] for decision in listed], np.int32),
            texts,
        )

    def __len__(self) -> int:
        return len(self.actions)

    @overload
    def __getitem__(self, position: int) -> Decision: ...
    @overload
    def __getitem__(self, position: slice) -> Decisions: ...
    def __getitem__(self, position: int | slice) -> Decision | Decisions:
        if isinstance(position, slice):
            return self.spread(np.arange(len(self))[position])
        text = self._texts[self._reasons[position]]
        return Decision(ACTIONS[self.actions[position]], text, int(self.dtypes[position]))

    def spread(self, numbers: NDArray[np.intp]) -> Decisions:
        """Return decisions about other tensors: about each the one with its number here."""
        return Decisions(self.actions[numbers], self.dtypes[numbers], self._reasons[numbers], self._texts)

    def replaced(self, others: Mapping[Decision, Sequence[int]]) -> Decisions:
        """Return the same decisions but for the tensors at some positions, about which others are taken."""
        actions, dtypes, reasons = self.actions.copy(), self.dtypes.copy(), self._reasons.copy()
        numbers = {text: number for number, text in enumerate(self._texts)}
        for decision, positions in others.items():
            actions[positions] = ACTIONS.index(decision.action)
            dtypes[positions] = decision.dtype
            reasons[positions] = numbers.setdefault(decision.reason, len(numbers))
        return Decisions(actions, dtypes, reasons, list(numbers))

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
