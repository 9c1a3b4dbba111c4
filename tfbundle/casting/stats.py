"""What a cast did to the numbers of one tensor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CastStats:
    """Counts over the elements of a tensor, or of a part of one; parts add up with ``+``.

    Attributes:
        elements: how many were cast.
        overflow: finite values too large for the target dtype.
        underflow: values other than zero that became zero.
        subnormal: results below the smallest normal number, which have lost precision.
        inf: infinities that were there before.
        nan: NaN that were there before.
        largest: largest finite magnitude before the cast, 0.0 if there was none.

    Example:
        >>> (CastStats(elements=2, largest=1.0) + CastStats(elements=3, overflow=1, largest=7e4)).largest
        70000.0
    """

    elements: int = 0
    overflow: int = 0
    underflow: int = 0
    subnormal: int = 0
    inf: int = 0
    nan: int = 0
    largest: float = 0.0

    def __add__(self, other: CastStats) -> CastStats:
        return CastStats(
            self.elements + other.elements,
            self.overflow + other.overflow,
            self.underflow + other.underflow,
            self.subnormal + other.subnormal,
            self.inf + other.inf,
            self.nan + other.nan,
            max(self.largest, other.largest),
        )
