"""What to do with values that the target dtype cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

OnOverflow = Literal["error", "inf", "clamp"]


@dataclass(frozen=True)
class CastPolicy:
    """How float32 values become float16.

    Attributes:
        on_overflow: for finite values that round beyond 65504: ``"error"`` refuses the whole conversion,
            ``"inf"`` stores an infinity as ``tf.cast`` does, ``"clamp"`` stores 65504 with the sign kept.
            Infinities and NaN that are there already stay what they are.

    Raises:
        ValueError: no such choice.

    Example:
        >>> CastPolicy(on_overflow="clamp").on_overflow
        'clamp'
    """

    on_overflow: OnOverflow = "error"

    def __post_init__(self) -> None:
        if self.on_overflow not in get_args(OnOverflow):
            raise ValueError(f"on_overflow is {self.on_overflow!r}, expected one of {get_args(OnOverflow)}")
