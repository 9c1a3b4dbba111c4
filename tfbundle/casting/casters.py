"""Which caster casts from one dtype to another, by their names.

Floats are cast to floats and integers to integers. Between float32 and any other float there is a cast of its own; all
others go through float32, as in TensorFlow. So what ``tf.cast`` makes of a float64 has been rounded twice if it is a
float of 16 bits: the last bit may differ from that of the nearest one.

NaN stay NaN with their signs. They become quiet and keep the upper mantissa bits that there is room for, except in
bfloat16, where they become 0x7fc0 or 0xffc0, and on the way from bfloat16 to float32, which changes no bit.

Source: TensorFlow ``tf.cast``, for all of this but the sign of a bfloat16 NaN, which there depends on the processor,
and values that are subnormal as float32, which it takes for zero where float64 is involved (see ``single``, ``widen``).
"""

from __future__ import annotations

from tfbundle.casting.caster import Caster
from tfbundle.casting.policy import OnOverflow
from tfbundle.errors import UnsupportedError

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def can_cast(source: str, target: str) -> bool:
    """Return whether there is a cast from one dtype to another, by their names; there is none to the same.

    Example:
        >>> can_cast("float64", "bfloat16"), can_cast("int64", "float32")
        (True, False)
    """
    return source != target and any(source in kind and target in kind for kind in (FLOATS, INTEGERS))


def make_caster(source: str, target: str, on_overflow: OnOverflow = "inf") -> Caster:
    """Return a caster from one dtype to another.

    Args:
        source: dtype name.
        target: likewise.
        on_overflow: ``"clamp"`` turns finite overflow into the largest finite value, integers into the smallest or
            largest; anything else into infinity, or an integer's low bits (to refuse it, or to keep the tensor, is up
            to the caller, who gets the count).

    Raises:
        UnsupportedError: there is none.

    Example:
        >>> import numpy as np
        >>> target = np.empty(1, np.uint16)
        >>> stats = make_caster("float64", "float16").cast(np.array([0.5]).view(np.uint64), target)
        >>> target.view(np.float16)
        array([0.5], dtype=float16)
    """
    if not can_cast(source, target):
        reason = "it is that already" if source == target else "floats become floats, and integers integers, only"
        raise UnsupportedError(f"cannot cast {source} to {target}: {reason}")
    if source in INTEGERS:
        from tfbundle.casting.integers import IntegerCaster

        return IntegerCaster(source, target, on_overflow)
    if source == "float32":
        return _from_single(target, on_overflow)
    if target == "float32":
        return _to_single(source, on_overflow)
    from tfbundle.casting.chain import ChainCaster

    return ChainCaster(_to_single(source, "clamp"), _from_single(target, on_overflow))


# Most conversions need one caster: the others are not imported.


def _from_single(target: str, on_overflow: OnOverflow) -> Caster:
    if target == "float16":
        from tfbundle.casting.half import HalfCaster

        return HalfCaster(on_overflow)
    if target == "bfloat16":
        from tfbundle.casting.bfloat16 import Bfloat16Caster

        return Bfloat16Caster(on_overflow)
    from tfbundle.casting.widen import SingleWidener

    return SingleWidener()


def _to_single(source: str, on_overflow: OnOverflow) -> Caster:
    if source == "float64":
        from tfbundle.casting.single import SingleCaster

        return SingleCaster(on_overflow)
    from tfbundle.casting.widen import Bfloat16Widener, HalfWidener

    return HalfWidener() if source == "float16" else Bfloat16Widener()
