"""Reports of casts in plain form, with numbers that numpy alone has counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

NBYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


def cast_tensor(name: str, values: NDArray[np.float32], **fields: Any) -> dict[str, Any]:
    """Return what a report says of a float32 tensor that became float16."""
    return {
        **plain_tensor(name, values.shape, "float32"),
        "action": "cast",
        "reason": "float32",
        "target_dtype": "float16",
        "target_nbytes": values.size * 2,
        "stats": measure(values),
        **fields,
    }


def plain_tensor(name: str, shape: tuple[int, ...] = (), dtype: str = "int64", **fields: Any) -> dict[str, Any]:
    """Return what a report says of a tensor that was copied."""
    nbytes = int(np.prod(shape)) * NBYTES.get(dtype, 8)
    return {
        "name": name,
        "target_name": name,
        "action": "copy",
        "reason": dtype,
        "shape": list(shape),
        "source_dtype": dtype,
        "target_dtype": dtype,
        "source_nbytes": nbytes,
        "target_nbytes": nbytes,
        "num_slices": 0,
        "joined": False,
        "edited": False,
        "stats": None,
        **fields,
    }


def measure(values: NDArray[np.float32]) -> dict[str, Any]:
    """Count what a cast to float16 does to float32 values."""
    with np.errstate(all="ignore"):
        half = values.astype(np.float16)
    finite, nonzero = np.isfinite(values), values != 0
    magnitude = np.abs(half.astype(np.float64))
    return {
        "elements": values.size,
        "overflow": int((finite & np.isinf(half)).sum()),
        "underflow": int((nonzero & (half == 0)).sum()),
        "subnormal": int(((magnitude > 0) & (magnitude < 2.0**-14)).sum()),
        "inf": int(np.isinf(values).sum()),
        "nan": int(np.isnan(values).sum()),
        "largest": float(np.abs(values[finite]).max(initial=0)),
        "deviation": _deviate(values.astype(np.float64), half.astype(np.float64)),
    }


def _deviate(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, Any]:
    finite = before[np.isfinite(before)]
    exponents = Counter((np.frexp(finite[finite != 0])[1] - 1).tolist())
    first, last = (min(exponents), max(exponents)) if exponents else (0, -1)
    compared = np.isfinite(before) & np.isfinite(after)
    error, source = np.abs(after[compared] - before[compared]), np.abs(before[compared])
    return {
        "compared": int(compared.sum()),
        "max_absolute": float(error.max(initial=0)),
        "max_relative": float((error[source > 0] / source[source > 0]).max(initial=0)),
        "rms": float(np.sqrt(np.mean(error**2))) if len(error) else 0.0,
        "zeros": int((finite == 0).sum()),
        "first_exponent": first,
        "exponents": [exponents[exponent] for exponent in range(first, last + 1)],
    }


def make_report(tensors: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Return a report of these tensors, with totals of their counts."""
    stats = [tensor["stats"] for tensor in tensors if tensor["stats"]]
    counts = {
        field: sum(one[field] for one in stats)
        for field in ("elements", "overflow", "underflow", "subnormal", "inf", "nan")
    }
    return {
        "source": "runs/model.ckpt-1000",
        "target": "half/model.ckpt-1000",
        "dry_run": False,
        "source_nbytes": sum(tensor["source_nbytes"] for tensor in tensors),
        "target_nbytes": sum(tensor["target_nbytes"] for tensor in tensors),
        "notes": [],
        "totals": {**counts, "largest": max((one["largest"] for one in stats), default=0.0)},
        "tensors": tensors,
        **fields,
    }
