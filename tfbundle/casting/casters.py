"""The caster for each pair of dtypes."""

from __future__ import annotations

from tfbundle.casting.bfloat16 import Bfloat16Caster
from tfbundle.casting.caster import Caster
from tfbundle.casting.half import HalfCaster
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.widen import Bfloat16Widener, HalfWidener
from tfbundle.errors import UnsupportedError


def make_caster(source: str, target: str, on_overflow: OnOverflow) -> Caster:
    """Return a caster from one dtype to another.

    Raises:
        UnsupportedError: there is no such cast.
    """
    match source, target:
        case "float32", "float16":
            return HalfCaster(on_overflow)
        case "float32", "bfloat16":
            return Bfloat16Caster(on_overflow)
        case "float16", "float32":
            return HalfWidener()
        case "bfloat16", "float32":
            return Bfloat16Widener()
    raise UnsupportedError(f"no cast from {source} to {target}")
