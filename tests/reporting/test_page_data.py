from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.reports import cast_tensor, make_report, plain_tensor
from tfbundle.reporting.page_data import DEVIATION_FIELDS, STATS_FIELDS, dtype_range, iter_data


def parse(report: dict[str, Any]) -> Any:
    text = "".join(iter_data(report))
    assert text.isascii()
    assert not set("<>&") & set(text)
    return json.loads(text, parse_constant=pytest.fail)


def parse_one(tensor: dict[str, Any]) -> dict[str, Any]:
    data = parse(make_report([tensor]))
    (row,) = data["tensors"]
    return dict(zip(data["fields"], row, strict=True))


def test_all_that_is_known_of_a_tensor() -> None:
    tensor = cast_tensor(
        "w", np.array([[1, 3e5, 0, np.inf, np.nan, 1e-6]], np.float32), target_name="v", num_slices=3, joined=True
    )
    row = parse_one(tensor)
    assert dict(zip(STATS_FIELDS, row.pop("stats"), strict=True)) == {
        "elements": 6, "overflow": 1, "underflow": 0, "subnormal": 1, "inf": 1, "nan": 1, "largest": 3e5,
    }  # fmt: skip
    deviation = dict(zip(DEVIATION_FIELDS, row.pop("deviation"), strict=True))
    assert (deviation["compared"], deviation["zeros"], deviation["first_exponent"]) == (3, 1, -20)
    assert {at - 20: count for at, count in enumerate(deviation["exponents"]) if count} == {-20: 1, 0: 1, 18: 1}
    assert row == {
        "name": "w", "target_name": "v", "action": "cast", "reason": "float32", "shape": [1, 6],
        "source_dtype": "float32", "target_dtype": "float16", "source_nbytes": 24, "target_nbytes": 12,
        "num_slices": 3, "joined": 1, "edited": 0,
    }  # fmt: skip


def test_what_was_not_measured() -> None:
    assert parse_one(plain_tensor("step"))["stats"] is None
    assert parse_one(plain_tensor("step"))["target_name"] is None  # the same
    unmeasured = cast_tensor("w", np.ones(3, np.float32))
    for stats in ({**unmeasured["stats"], "deviation": None}, dict.fromkeys(STATS_FIELDS, 0)):
        row = parse_one({**unmeasured, "stats": stats})
        assert len(row["stats"]) == len(STATS_FIELDS)
        assert row["deviation"] is None


@pytest.mark.parametrize(("value", "text"), [(math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, "NaN")])
def test_numbers_that_json_lacks(value: float, text: str) -> None:
    tensor = cast_tensor("w", np.ones(3, np.float32))
    tensor["stats"]["deviation"]["max_relative"] = value
    assert parse_one(tensor)["deviation"][DEVIATION_FIELDS.index("max_relative")] == text


@given(st.text(st.characters()), st.text(st.characters()))
@example("</script>&<!--<script>", "\u2028\u2029")
def test_any_text_is_printable_data(name: str, reason: str) -> None:
    row = parse_one(plain_tensor(name, reason=reason, target_name=""))
    assert row["name"].isprintable()
    assert row["reason"].isprintable()
    if name.isprintable():
        assert row["name"] == name


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_pieces_do_not_grow_with_the_number_of_tensors(count: int) -> None:
    report = make_report([plain_tensor(f"t{number}") for number in range(count)])
    pieces = list(iter_data(report))
    assert max(map(len, pieces)) < 150_000
    assert [row[0] for row in parse(report)["tensors"]] == [f"t{number}" for number in range(count)]


def test_ranges_of_the_dtypes_that_occur() -> None:
    dtypes = ("bfloat16", "int64", "float16", "string", "")
    tensors = [plain_tensor(dtype, dtype="int64", target_dtype=dtype) for dtype in dtypes]
    assert list(parse(make_report(tensors))["ranges"]) == ["bfloat16", "float16"]


def narrow(dtype: str, value: float) -> float:
    """Round as numpy or ``ml_dtypes`` does."""
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            return float(np.float64(value).astype(pytest.importorskip("ml_dtypes").bfloat16))
        return float(np.float64(value).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_ranges_are_those_of_the_dtypes(dtype: str) -> None:
    found = dtype_range(dtype)
    smallest_normal = {"float16": 2.0**-14}.get(dtype, 2.0**-126)
    for exponent in range(-170, 140):
        result = narrow(dtype, math.ldexp(1.25, exponent))
        assert (result == 0) == (exponent < found["zero_below"])
        assert (0 <= result < smallest_normal) == (exponent < found["subnormal_below"])
        assert math.isinf(result) == (exponent >= found["overflow_from"])
    assert math.isinf(narrow(dtype, found["overflow"]))
    assert math.isfinite(narrow(dtype, found["overflow"] * (1 - 1e-6)))
