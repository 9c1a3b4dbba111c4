"""What became of the graph that goes with a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfbundle.format.readable import format_nbytes

Kind = Literal["SavedModel", "meta", "frozen"]


@dataclass(frozen=True)
class GraphReport:
    """What a conversion did to a graph, or would do.

    Attributes:
        kind: ``"SavedModel"`` for its ``saved_model.pb``, ``"meta"`` for the ``.meta`` file beside a checkpoint,
            ``"frozen"`` for a graph that holds its weights as constants.
        source: path of the graph.
        target: path of the rewritten one.
        source_nbytes: size before.
        target_nbytes: size after.
        num_casts: how many Casts were added to graph and functions.
        num_functions: how many functions were added.
        num_removed: how many nodes were taken out.
    """

    kind: Kind
    source: str
    target: str
    source_nbytes: int
    target_nbytes: int
    num_casts: int = 0
    num_functions: int = 0
    num_removed: int = 0

    def growth_note(self, saved_nbytes: int) -> str:
        """Say that a graph grew by more than its checkpoint shrank; nothing where it did not.

        Example:
            >>> GraphReport("meta", "a.meta", "b.meta", 100, 300).growth_note(50)
            'the graph grew by 200 B, more than the 50 B that the checkpoint shrank by'
        """
        growth = self.target_nbytes - self.source_nbytes
        if growth <= max(0, saved_nbytes):
            return ""
        shrank = f"the {format_nbytes(saved_nbytes)} that the checkpoint shrank by"
        return f"the graph grew by {format_nbytes(growth)}, more than {shrank}"
