"""What is known of dtypes that can be cast: which casts lose something, what fits, what TensorFlow can do with it."""

from __future__ import annotations

from typing import NamedTuple

from tfbundle.format.dtypes import ELEMENT_NBYTES

_FLOAT_BITS = {"float16": (11, 5), "bfloat16": (8, 8), "float32": (24, 8), "float64": (53, 11)}
"""Precision and exponent bits."""

_INTEGER_BITS = {f"{sign}int{bits}": (bits, sign) for sign in ("", "u") for bits in (8, 16, 32, 64)}


def is_lossless(source: str, target: str) -> bool:
    """Tell whether a castable dtype's values all fit into another one.

    Example:
        >>> is_lossless("bfloat16", "float32"), is_lossless("float16", "bfloat16")
        (True, False)
    """
    if source in _FLOAT_BITS:
        return all(mine <= other for mine, other in zip(_FLOAT_BITS[source], _FLOAT_BITS[target], strict=True))
    (bits, sign), (target_bits, target_sign) = _INTEGER_BITS[source], _INTEGER_BITS[target]
    if sign == target_sign:
        return bits <= target_bits
    return bool(sign) and bits < target_bits


def describe_limits(dtype: str) -> str:
    """Say what a castable dtype can hold.

    Example:
        >>> describe_limits("float16"), describe_limits("int8")
        ('a maximum of 65504', 'a range of -128 to 127')
    """
    if dtype in _FLOAT_BITS:
        precision, exponent = _FLOAT_BITS[dtype]
        return f"a maximum of {(2 - 2.0 ** (1 - precision)) * 2.0 ** (2 ** (exponent - 1) - 1):.9g}"
    bits, sign = _INTEGER_BITS[dtype]
    return f"a range of 0 to {2**bits - 1}" if sign else f"a range of {-(2 ** (bits - 1))} to {2 ** (bits - 1) - 1}"


def can_stitch(dtype: str) -> bool:
    """Tell whether TensorFlow can put a tensor of a castable dtype together from slices, as ``CopySliceToSlice`` does.

    Source: TensorFlow ``core/util/tensor_slice_util.h``, ``tensor_bundle.cc`` (``GetSliceValue``).
    """
    return dtype not in ("float16", "uint16", "uint32", "uint64")


def usual_sources(target: str) -> tuple[str, ...]:
    """Return the dtypes that are cast to one where nobody says which.

    Example:
        >>> usual_sources("float16"), usual_sources("float32")
        (('float32',), ('float16', 'bfloat16'))
    """
    if target in _INTEGER_BITS:
        return tuple(name for name in _INTEGER_BITS if name != target)
    lossless = tuple(name for name in _FLOAT_BITS if name != target and is_lossless(name, target))
    return lossless or ("float32",)


class Cast(NamedTuple):
    """From which dtype to which, by number."""

    source: int
    target: int

    @property
    def source_nbytes(self) -> int:
        """Bytes of an element before."""
        return int(ELEMENT_NBYTES[self.source])

    @property
    def target_nbytes(self) -> int:
        """Bytes of an element after."""
        return int(ELEMENT_NBYTES[self.target])

    def resize(self, nbytes: int) -> int:
        """Return how many bytes so many source bytes become.

        Example:
            >>> Cast(1, 19).resize(12)  # float32, float16
            6
        """
        return nbytes // self.source_nbytes * self.target_nbytes
