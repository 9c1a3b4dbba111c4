"""The data of a report as JSON that can stand in a page: rows of values, and the ranges of the target dtypes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from tfbundle.format.readable import escape

TENSOR_FIELDS = (
    "name", "target_name", "action", "reason", "shape", "source_dtype", "target_dtype", "source_nbytes",
    "target_nbytes", "num_slices", "joined", "edited", "stats", "deviation",
)  # fmt: skip
STATS_FIELDS = ("elements", "overflow", "underflow", "subnormal", "inf", "nan", "largest")
DEVIATION_FIELDS = (
    "compared", "max_absolute", "max_relative", "rms", "zeros", "first_exponent", "exponents"
)  # fmt: skip

_PRECISIONS = {"float16": (10, -14, 15), "bfloat16": (7, -126, 127), "float32": (23, -126, 127)}
"""Bits of the mantissa, and the exponents of the smallest normal number and of the largest."""
_ROWS_AT_ONCE = 1000
_UNSAFE = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&"})


def iter_data(report: Mapping[str, Any]) -> Iterator[str]:
    r"""Yield the pieces of a JSON text that holds the tensors of a report.

    It is ASCII without ``<``, ``>`` and ``&``, so that nothing in it ends the element it stands in. Names are escaped
    as for a terminal; numbers that JSON lacks become ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.

    Args:
        report: the plain form of a report, as ``format_page`` takes it.

    Example:
        >>> "".join(iter_data({"tensors": []}))[:21]
        '{"fields":["name","ta'
    """
    tensors = iter(report["tensors"])
    dtypes: set[str] = set()
    fields = {"fields": TENSOR_FIELDS, "stats": STATS_FIELDS, "deviation": DEVIATION_FIELDS}
    yield _encode(fields)[:-1] + ',"tensors":['
    separator = "\n"
    while batch := list(islice(tensors, _ROWS_AT_ONCE)):
        dtypes.update(tensor["target_dtype"] for tensor in batch)
        yield separator + ",\n".join(_encode(_tensor_row(tensor)) for tensor in batch)
        separator = ",\n"
    ranges = {dtype: dtype_range(dtype) for dtype in sorted(dtypes & _PRECISIONS.keys())}
    yield f'\n],"ranges":{_encode(ranges)}}}'


def dtype_range(dtype: str) -> dict[str, float]:
    """Return what happens to which magnitudes when they are rounded to a floating-point dtype.

    Returns:
        Under ``zero_below``, ``subnormal_below`` and ``overflow_from`` the binary exponents between becoming zero,
        subnormal, normal and infinite; under ``overflow`` the smallest magnitude that becomes infinite, which has the
        last exponent before ``overflow_from``.

    Example:
        >>> dtype_range("float16")
        {'zero_below': -25, 'subnormal_below': -14, 'overflow_from': 16, 'overflow': 65520.0}
    """
    mantissa, smallest, largest = _PRECISIONS[dtype]
    return {
        "zero_below": smallest - mantissa - 1,  # half of the smallest subnormal number still rounds to zero, to even
        "subnormal_below": smallest,
        "overflow_from": largest + 1,
        "overflow": math.ldexp(2.0 - 2.0 ** -(mantissa + 1), largest),
    }


def _tensor_row(tensor: Mapping[str, Any]) -> list[Any]:
    row = dict(tensor)
    if row["target_name"] == row["name"]:
        row["target_name"] = None
    stats = row["stats"]
    deviation = stats and stats.get("deviation")
    row["stats"] = stats and [_to_json(stats[field]) for field in STATS_FIELDS]
    row["deviation"] = deviation and [_to_json(deviation[field]) for field in DEVIATION_FIELDS]
    return [_to_json(row[field]) for field in TENSOR_FIELDS]


def _to_json(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value


def _encode(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_UNSAFE)
