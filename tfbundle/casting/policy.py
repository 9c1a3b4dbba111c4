"""What is cast to what, and what to do with values that the target dtype cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

OnOverflow = Literal["error", "inf", "clamp", "keep"]


@dataclass(frozen=True)
class CastPolicy:
    """What is cast to what. Dtypes go by TensorFlow's names.

    Attributes:
        to: the dtype to cast to: ``"float16"``, ``"bfloat16"``, ``"float32"``, ``"float64"``, or one of the integers of
            8 to 64 bits.
        sources: dtypes that are cast. Empty for the usual ones: float32 to float16 or bfloat16; narrower floats to
            float32 or float64; all other integers to an integer. ``float64`` is only cast when it is named.
        rules: (pattern, dtype) pairs: a tensor that matches becomes that dtype whatever ``to`` and ``sources`` say; the
            first pair that matches counts. Patterns are those of ``Selection``.
        on_overflow: for finite values that the target dtype cannot hold: ``"error"`` refuses the whole conversion,
            ``"inf"`` stores an infinity (of integers: the low bits), as ``tf.cast`` does, ``"clamp"`` stores the
            largest finite value (of integers: largest or smallest) in its place, ``"keep"`` leaves the tensor in its
            dtype, for which the source is read twice. Infinities and NaN that are there already stay what they are.

    Raises:
        ValueError: no such choice.

    Example:
        >>> CastPolicy("bfloat16", rules=(("*/moving_*", "float32"),)).on_overflow
        'error'
    """

    to: str = "float16"
    sources: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    on_overflow: OnOverflow = "error"

    def __post_init__(self) -> None:
        if self.on_overflow not in get_args(OnOverflow):
            raise ValueError(f"on_overflow is {self.on_overflow!r}, expected one of {get_args(OnOverflow)}")
