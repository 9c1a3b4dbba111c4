"""What is told of the numbers of every checkpoint of the corpus, against numpy in float64."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tfbundle
from tests.support.corpus import Item, v1_items, v2_items
from tests.support.requirements import corpus_root
from tfbundle import BundleError, CastPolicy, CastStats, RunOptions, Selection, stats
from tfbundle.errors import BundleNotFoundError

ITEMS = [*v2_items(), *v1_items()]
SPECIALS = "raw_float_specials"


def plain_stats(before: NDArray[np.float32]) -> dict[str, Any]:
    """Count and measure with numpy: a cast to float16, and everything about it in float64."""
    with np.errstate(all="ignore"):
        x, y = before.astype(np.float64).reshape(-1), before.astype(np.float16).astype(np.float64).reshape(-1)
        finite, both = np.isfinite(x), np.isfinite(x) & np.isfinite(y)
        error = np.abs(y - x)[both]
        relative = (error / np.abs(x[both]))[x[both] != 0]
    return {
        "elements": x.size,
        "overflow": int((finite & np.isinf(y)).sum()),
        "underflow": int(((x != 0) & (y == 0)).sum()),
        "subnormal": int(((y != 0) & (np.abs(y) < 2.0**-14)).sum()),
        "inf": int(np.isinf(x).sum()),
        "nan": int(np.isnan(x).sum()),
        "largest": float(np.abs(x[finite]).max(initial=0)),
        "compared": int(both.sum()),
        "zeros": int((x == 0).sum()),
        "max_absolute": float(error.max(initial=0)),
        "max_relative": float(relative.max(initial=0)),
        "rms": float(np.sqrt(np.square(error).mean())) if error.size else 0.0,
        "exponents": Counter((np.frexp(x[finite & (x != 0)])[1] - 1).tolist()),
    }


def told_stats(found: CastStats) -> dict[str, Any]:
    told = dict(vars(found))
    deviation = dict(vars(told.pop("deviation")))
    first = deviation.pop("first_exponent")
    counts = {first + at: count for at, count in enumerate(deviation.pop("exponents")) if count}
    return {**told, **deviation, "exponents": Counter(counts)}


def check(name: str, found: CastStats, before: NDArray[np.float32]) -> None:
    told, expected = told_stats(found), plain_stats(before)
    assert told.pop("rms") == pytest.approx(expected.pop("rms"), rel=1e-6, abs=0), name
    assert told.pop("max_relative") == pytest.approx(expected.pop("max_relative"), rel=1e-6, abs=0), name
    assert told == expected, name


def measure(prefix: str) -> Any:
    return stats(
        prefix,
        selection=Selection(optimizer="cast"),
        policy=CastPolicy(on_overflow="inf"),
        options=RunOptions(measure=True, jobs=1),
    )


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.label)
def test_numbers_are_those_of_numpy(item: Item) -> None:
    try:
        report = measure(item.prefix)
    except BundleNotFoundError:  # only the index was kept of some
        with pytest.raises(BundleError):
            tfbundle.load(item.prefix)
        return
    told = {tensor.name: tensor.stats for tensor in report.tensors if tensor.stats is not None}
    assert told.keys() == {name for name, tensor in item.tensors.items() if tensor.dtype == "float32"}
    incomplete = {name for name in told if "Does not have sufficient" in (item.tensors[name].error or "")}
    with tfbundle.open(item.prefix) as bundle:
        values = {name: bundle[name] for name in told if name not in incomplete}
    for name, value in values.items():
        check(name, told[name], value)
    if values and not incomplete:
        check("total", report.totals, np.concatenate([value.reshape(-1) for value in values.values()]))


def test_specials_are_there_and_special() -> None:
    corpus_root()
    reports = [measure(item.prefix) for item in ITEMS if item.directory == SPECIALS]
    assert reports
    totals = [report.totals for report in reports]
    for field in ("overflow", "underflow", "subnormal", "inf", "nan"):
        assert sum(getattr(total, field) for total in totals) > 0
