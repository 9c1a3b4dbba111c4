from __future__ import annotations

import html
import math
import re
from typing import Any

import numpy as np
import pytest

from tests.support.reports import cast_tensor, make_report, plain_tensor
from tfbundle.reporting.page_text import format_labels, format_number, format_parts, format_text


def test_text_is_text() -> None:
    assert format_text("<b a='1'>&\"") == "&lt;b a=&#x27;1&#x27;&gt;&amp;&quot;"
    assert format_text("\x1b\udcff\u202e") == r"\x1b\xff\u202e"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1_234_567, "1,234,567"),
        (0.0, "0"),
        (1.0, "1"),
        (65504.0, "65504"),
        (99999.4, "99999"),
        (99999.6, "1e5"),
        (123456.0, "1.235e5"),
        (0.001, "0.001"),
        (0.00099, "9.9e-4"),
        (-0.25, "-0.25"),
        (6.1035e-05, "6.104e-5"),
        (3.4e38, "3.4e38"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert format_number(value) == text


def text_of(markup: str) -> str:
    return html.unescape(re.sub("<[^>]*>", "", markup))


def parts(*tensors: dict[str, Any], **fields: Any) -> dict[str, str]:
    return {name: text_of(part) for name, part in format_parts(make_report(list(tensors), **fields)).items()}


def test_heading_and_sizes() -> None:
    found = parts(source="runs/a", target="half/", source_nbytes=1_800_000, target_nbytes=303_000)
    assert found["heading"] == found["title"] == "runs/a → half/"
    assert found["sizes"] == "1.8 MB → 303.0 kB, 17 % of it"
    assert found["share"] == "16.83"
    assert found["kind"] == "Cast report"


def test_dry_run() -> None:
    found = parts(cast_tensor("w", np.ones(2, np.float32), stats=None), dry_run=True)
    assert found["kind"] == "Cast report: a dry run, nothing was written"
    assert found["totals"].startswith("No values were cast")


def test_survey() -> None:
    found = parts(cast_tensor("w", np.ones(2, np.float32)), target="", target_nbytes=0)
    assert found["heading"] == "runs/model.ckpt-1000"
    assert found["kind"] == "Survey of a checkpoint"
    assert found["sizes"] == "8 B"


@pytest.mark.parametrize(("source", "target", "share"), [(0, 0, "0.00"), (0, 5, "0.00"), (4, 8, "100.00")])
def test_sizes_that_make_no_share(source: int, target: int, share: str) -> None:
    assert parts(source_nbytes=source, target_nbytes=target)["share"] == share


def test_actions_are_counted() -> None:
    tensors = [plain_tensor(action, action=action) for action in ("drop", "cast", "keep", "cast")]
    assert parts(*tensors)["actions"] == "2 tensors cast, 1 tensor kept, 1 tensor dropped"
    assert parts()["actions"] == "no tensors"


def test_totals_with_and_without_deviation() -> None:
    tensor = cast_tensor("w", np.array([1, 7e4, 1e-9, np.nan], np.float32))
    assert parts(tensor)["totals"].split("\n")[1:-1] == [
        "values cast4",
        "overflowed1",
        "became zero1",
        "became subnormal0",
        "infinities before0",
        "NaN before1",
        "largest magnitude70000",
    ]
    measured = parts(tensor, totals={**tensor["stats"]})["totals"]
    assert "largest relative error1\n" in measured


def test_worst_come_first() -> None:
    values = {
        "fine": [1.0],
        "coarse": [1.0001],
        "subnormal": [1e-6],
        "zero": [1e-9],
        "overflow": [1e5],
        "two overflow": [1e5, 1e6],
    }
    tensors = [plain_tensor("copied")] + [cast_tensor(name, np.float32(numbers)) for name, numbers in values.items()]  # type: ignore[arg-type]
    unmeasured = cast_tensor("unmeasured", np.float32([1.0]))  # type: ignore[arg-type]
    unmeasured["stats"]["deviation"] = None
    undefined = cast_tensor("undefined", np.float32([1.0]))  # type: ignore[arg-type]
    undefined["stats"]["deviation"]["max_relative"] = math.nan
    rows = format_parts(make_report([unmeasured, *tensors, undefined]))["rows"].splitlines()
    assert [re.findall(r"<bdi>(.*)</bdi>", row)[0] for row in rows] == [
        "two overflow", "overflow", "zero", "subnormal", "undefined", "coarse", "fine", "unmeasured", "copied",
    ]  # fmt: skip


def test_at_most_ten_rows_and_the_page_says_so() -> None:
    found = format_parts(make_report([plain_tensor(f"t{number}") for number in range(1234)]))
    assert found["rows"].count("<tr>") == 10
    assert found["count"] == "The worst 10 of 1,234; with JavaScript the page lists them all"
    assert parts(plain_tensor("t"))["count"] == "1 tensor"


def test_cells_stand_under_their_headers() -> None:
    found = format_parts(
        make_report([cast_tensor("a/<w>", np.array([1, 7e4, 1e-9, 0], np.float32)), plain_tensor("s")])
    )
    headers = re.findall("<th .*?</th>", found["columns"])
    cast, copied = (re.findall("<t[hd].*?</t[hd]>", row) for row in found["rows"].splitlines())
    assert len(headers) == len(cast) == len(copied)
    shown = dict(zip(map(text_of, headers), map(text_of, cast), strict=True))
    assert shown["Tensor"] == "a/<w>"
    assert shown["Dtype"] == "float32 → float16"
    assert [shown[name] for name in ("Values", "Overflow", "Became zero", "Largest", "Largest relative")] == [
        "4", "1", "1", "70000", "1",
    ]  # fmt: skip
    assert list(map(text_of, copied))[1:3] == ["int64, copied", "–"]  # noqa: RUF001
    labels = re.findall(r'nth-child\((\d+)\)::before{content:"(.*?)"', format_labels())
    assert labels == [(str(number), text_of(header)) for number, header in enumerate(headers, 1)][1:]
