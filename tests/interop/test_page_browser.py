"""The page of a report, opened in headless Chromium; the numbers in it are counted by numpy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.browsing import Page, browsing
from tests.support.reports import cast_tensor, make_report, plain_tensor
from tfbundle.reporting.page import write_page

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\u202e\udcff"
SHOWN = HOSTILE[:-2] + r"\u202e\xff"
FIELDS = ("elements", "overflow", "underflow", "subnormal", "inf", "nan", "largest")
COLUMNS = ["name", "dtype", *FIELDS, "max_absolute", "max_relative", "rms", "exponents"]


def spread(rng: np.random.Generator, size: int, low: float, high: float) -> Any:
    return (rng.choice([-1, 1], size) * 2.0 ** rng.uniform(low, high, size)).astype(np.float32)


def make_tensors() -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    unmeasured = cast_tensor("unmeasured", spread(rng, 50, -3, 0))
    unmeasured["stats"]["deviation"] = None
    return [
        plain_tensor("step"),
        plain_tensor("gone", (4,), "float32", action="drop", target_name="", target_dtype="", target_nbytes=0),
        cast_tensor("wide", spread(rng, 20_000, -45, 19), target_name="renamed/wide"),
        cast_tensor("weights/" + "long_name_of_a_layer/" * 12 + "kernel", spread(rng, 3_000, -9, 1)),
        cast_tensor("moments", spread(rng, 1_000, -33, -26)),
        cast_tensor("mixed", np.concatenate([spread(rng, 500, -20, 3), [0, 0, np.inf, np.nan]]).astype(np.float32)),
        cast_tensor("zeros", np.zeros(5, np.float32)),
        cast_tensor(HOSTILE, spread(rng, 100, -2, 2)),
        unmeasured,
        *(cast_tensor(f"small_{number}", spread(rng, 40, -16, 0)) for number in range(5)),
    ]


TENSORS = make_tensors()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsing(str(tmp_path_factory.mktemp("profile"))) as driver:
        yield driver


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(str(path), make_report(TENSORS, source=f"a/{HOSTILE}", notes=[HOSTILE]))
    return str(path)


@pytest.fixture
def page(driver: Any, path: str) -> Page:
    return Page(driver, path)


def shown_names(page: Page) -> list[str]:
    return page.texts("tbody th bdi")


def named(name: str) -> dict[str, Any]:
    return next(tensor for tensor in TENSORS if tensor["name"] == name)


def row_of(page: Page, name: str) -> Any:
    return page.find("tbody tr:not(.detail)")[shown_names(page).index(name)]


def test_nothing_is_complained_about(page: Page) -> None:
    for button in page.find("tbody th button"):
        button.click()
    page.settle()
    assert len(page.find("tr.detail")) == len(TENSORS)
    assert page.complaints() == []


def fate(exponent: int) -> str:
    """Tell what float16 makes of values with that binary exponent, by numpy."""
    with np.errstate(all="ignore"):
        half = np.float64(1.25 * 2.0**exponent).astype(np.float16)
    if np.isinf(half):
        return "overflow"
    return "zero" if half == 0 else "subnormal" if half < np.finfo(np.float16).smallest_normal else "normal"


def check_bars(page: Page, chart: str, tensors: list[dict[str, Any]]) -> None:
    """Check one bar for each exponent that occurs, in order, coloured, and as high as the logarithm of its count."""
    counts: dict[int, int] = {}
    for deviation in (tensor["stats"]["deviation"] for tensor in tensors):
        for at, count in enumerate(deviation["exponents"], deviation["first_exponent"]):
            counts[at] = counts.get(at, 0) + count
    expected = [(exponent, counts[exponent]) for exponent in sorted(counts) if counts[exponent]]
    bars = page.run(
        f"return [...document.querySelectorAll({chart!r} + ' .bar')].map(bar => [bar.classList[1], bar.getBBox().x,"
        "bar.getBBox().height, bar.querySelector('title').textContent.split(' ')[0], getComputedStyle(bar).fill])"
    )
    assert [bar[0] for bar in bars] == [fate(exponent) for exponent, _ in expected]
    assert [bar[3] for bar in bars] == [f"{count:,}" for _, count in expected]
    assert [bar[1] for bar in bars] == sorted({bar[1] for bar in bars})
    most = max(count for _, count in expected)
    full = max(bar[2] for bar in bars)
    heights = [math.log1p(count) / math.log1p(most) for _, count in expected]
    assert full > 100
    assert [bar[2] / full for bar in bars] == pytest.approx(heights, abs=1e-3)
    assert len({bar[4] for bar in bars}) == len({bar[0] for bar in bars})


def measured() -> list[dict[str, Any]]:
    return [tensor for tensor in TENSORS if tensor["stats"] and (tensor["stats"]["deviation"] or {}).get("exponents")]


def test_histogram_of_all_values(page: Page) -> None:
    check_bars(page, "#overall", measured())
    assert len({fate(at) for at in range(-45, 19)}) == len(page.find("#overall .legend li svg")) == 4
    assert page.texts("#overall figcaption") == [f"{len(measured()) + 1} tensors float32 → float16"]
    assert "7 zeros are in no bar" in page.texts("#overall .legend li")  # five of them in a tensor of zeros


@pytest.mark.parametrize("width", [1280, 360])
def test_histogram_of_a_tensor_that_is_opened(driver: Any, path: str, width: int) -> None:
    page = Page(driver, path, width=width)
    for name in ("wide", "mixed"):
        button = row_of(page, name).find_element("css selector", "button")
        assert button.get_attribute("aria-expanded") == "false"
        button.click()
        page.settle()
        assert button.get_attribute("aria-expanded") == "true"
        check_bars(page, "tr.detail", [named(name)])
        facts = " ".join(page.texts("tr.detail dd"))
        assert ("renamed/wide" in facts) == (name == "wide")
        button.click()
        assert page.find("tr.detail") == []


def test_a_small_histogram_in_each_row_that_was_measured(page: Page) -> None:
    for tensor, name in zip(TENSORS, [tensor["name"] for tensor in TENSORS], strict=True):
        row = row_of(page, SHOWN if name == HOSTILE else name)
        cell = row.find_elements("css selector", "td")[-1]
        drawn = [path.get_attribute("class") for path in cell.find_elements("css selector", "path")]
        if tensor not in measured():
            assert (drawn, cell.text) == ([], {"zeros": "zeros only", "unmeasured": "not measured"}.get(name, "\u2013"))
            continue
        deviation = tensor["stats"]["deviation"]
        bars = enumerate(deviation["exponents"], deviation["first_exponent"])
        assert set(drawn) == {fate(exponent) for exponent, count in bars if count}
        sizes = [path.rect["height"] for path in cell.find_elements("css selector", "path")]
        assert max(sizes) > 15


def value_of(tensor: dict[str, Any], key: str) -> Any:
    """Return what a column is sorted by, None where there is nothing."""
    stats = tensor["stats"] or {}
    deviation = stats.get("deviation") or {}
    if key == "name":
        return SHOWN if tensor["name"] == HOSTILE else tensor["name"]
    if key == "dtype":
        return {"copy": "int64, copied", "drop": "float32, dropped"}.get(tensor["action"], "float32 → float16")
    if key == "exponents":
        return deviation["first_exponent"] if deviation.get("exponents") else None
    return {**stats, **deviation}.get(key)


@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=COLUMNS)
def test_sorting_by_each_column(page: Page, column: int) -> None:
    key = COLUMNS[column]
    by_name = {value_of(tensor, "name"): value_of(tensor, key) for tensor in TENSORS}
    directions = set()
    for press in ("click", "key", "click"):
        header = page.find("thead th")[column]
        button = header.find_element("css selector", "button")
        if press == "click":
            button.click()
        else:
            button.send_keys(" ")
        sorted_by = page.collect("thead th", "ariaSort")
        direction = sorted_by[column]
        assert [each for each in sorted_by if each] == [direction]
        directions.add(direction)
        names = shown_names(page)
        assert sorted(names) == sorted(by_name)
        values = [by_name[name] for name in names]
        present = [value for value in values if value is not None]
        assert present == sorted(present, reverse=direction == "descending")
        assert values[len(present) :] == [None] * (len(values) - len(present))
    assert directions == {"ascending", "descending"}


def test_worst_come_first_as_in_the_page_without_script(driver: Any, path: str) -> None:
    cells = "querySelectorAll('th, td:not(:last-child)').values().map((cell) => cell.textContent).toArray()"
    scripted = Page(driver, path)
    assert scripted.collect("thead th", "ariaSort").index("descending") == COLUMNS.index("overflow")
    rows = scripted.collect("tbody tr", cells)
    plain = Page(driver, path, script=False)
    assert plain.collect("tbody tr", cells) == rows[:10]
    assert {len(row) for row in rows} == {len(COLUMNS) - 1}
    assert plain.texts("h1")[0].startswith("a/")
    assert plain.texts("dl.figures dd")[0] == f"{sum(t['stats']['elements'] for t in TENSORS if t['stats']):,}"
    assert plain.texts("#count")[0].startswith("The worst 10 of 14")
    assert not any(element.is_displayed() for element in plain.find("#controls, #overall, #more"))


def test_filter_by_name(page: Page) -> None:
    (box,) = page.find("#filter")
    for words, expected in {
        "SMALL_": {f"small_{number}" for number in range(5)},
        "renamed": {"wide"},
        "<script>": {SHOWN},
        "no such name": set(),
        "": {value_of(tensor, "name") for tensor in TENSORS},
    }.items():
        box.clear()
        box.send_keys(words + " \b")
        assert set(shown_names(page)) == expected, words
        of_all = "" if not words else f"{len(expected)} of "
        assert page.texts("#count") == [f"{of_all}{len(TENSORS)} tensors"]


def test_hostile_text_is_shown_and_does_not_run(page: Page) -> None:
    row_of(page, SHOWN).find_element("css selector", "button").click()
    assert SHOWN in page.texts("h1")[0]
    assert page.texts(".notes li") == [SHOWN]
    assert page.run("return [window.hacked, document.images.length, document.scripts.length]") == [None, 0, 2]
    assert page.complaints() == []


def test_policy_holds(page: Page) -> None:
    page.run("const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s)")
    page.run("const i = new Image(); i.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='; document.body.append(i)")
    page.settle()
    assert page.run("return window.hacked") is None
    complaints = " ".join(message["message"] for message in page.complaints())
    assert "script-src" in complaints
    assert "Content Security Policy" in complaints


@pytest.mark.parametrize(
    ("width", "script"),
    [(320, True), (360, True), (768, True), (1000, True), (1280, True), (360, False), (1280, False)],
)
def test_page_does_not_scroll_sideways(driver: Any, path: str, width: int, script: bool) -> None:
    page = Page(driver, path, width=width, script=script)
    if script:
        page.collect("tbody th button", "click()")
        page.settle()
        assert len(page.find("tr.detail")) == len(TENSORS)
    assert page.run("return innerWidth") == width
    assert page.run("return document.documentElement.scrollWidth") <= width


def test_order_can_be_chosen_on_a_phone(driver: Any, path: str) -> None:
    page = Page(driver, path, width=360)
    assert not page.find("thead")[0].is_displayed()
    assert page.collect("#order option", "value") == COLUMNS
    page.find("#order option")[0].click()
    assert shown_names(page) == sorted(shown_names(page))
    page.find("#direction")[0].click()
    assert shown_names(page) == sorted(shown_names(page), reverse=True)


def test_many_tensors_are_drawn_a_page_at_a_time(driver: Any, tmp_path: Path) -> None:
    base = [tensor for tensor in TENSORS if tensor["name"].startswith("small")]
    many = [{**base[number % 5], "name": f"block_{number}"} for number in range(10_000)]
    write_page(str(tmp_path / "many.html"), make_report(many))
    page = Page(driver, str(tmp_path / "many.html"))
    rows = "return document.querySelectorAll('tbody tr').length"
    assert page.run(rows) == 200
    assert page.texts("#count") == ["10,000 tensors, the first 200 are shown"]
    page.find("#more")[0].click()
    assert page.run(rows) == 400
    page.find("#filter")[0].send_keys("block_999")
    assert page.run(rows) == 11
    assert not page.find("#more")[0].is_displayed()


def test_report_without_anything_measured(driver: Any, tmp_path: Path) -> None:
    tensors = [plain_tensor("step"), cast_tensor("w", np.ones(3, np.float32), stats=None)]
    write_page(str(tmp_path / "plain.html"), make_report(tensors, target="", dry_run=True))
    page = Page(driver, str(tmp_path / "plain.html"))
    assert shown_names(page) == ["step", "w"]
    assert not page.find("#overall")[0].is_displayed()
    assert page.complaints() == []


def test_dtype_whose_range_is_unknown_and_numbers_that_are_none(driver: Any, tmp_path: Path) -> None:
    odd = cast_tensor("odd", np.array([1, 2, 3], np.float32), target_dtype="int8")
    for number, value in enumerate([math.nan, math.inf, 0.5]):
        odd["stats"]["deviation"][("max_absolute", "max_relative", "rms")[number]] = value
    wide = cast_tensor("wide", np.array([1, 2e-38], np.float32), target_dtype="bfloat16")
    write_page(str(tmp_path / "odd.html"), make_report([odd, wide]))
    page = Page(driver, str(tmp_path / "odd.html"))
    assert len(page.find("#overall figure")) == 2
    assert len(page.find("#overall .bar.plain")) == 2
    assert [cell.text for cell in row_of(page, "odd").find_elements("css selector", "td")[8:11]] == [
        "NaN",
        "inf",
        "0.5",
    ]
    assert page.complaints() == []


def test_undefined_numbers_are_worse_than_infinite_ones(driver: Any, tmp_path: Path) -> None:
    tensors = []
    for number, value in enumerate([0.5, math.nan, math.inf, 0.25, None]):
        tensors.append(cast_tensor(str(value), np.ones(3, np.float32)))
        tensors[number]["stats"]["deviation"]["rms"] = value
    tensors[-1]["stats"]["deviation"] = None
    write_page(str(tmp_path / "odd.html"), make_report(tensors))
    page = Page(driver, str(tmp_path / "odd.html"))
    button = page.find("thead button")[COLUMNS.index("rms")]
    button.click()
    assert shown_names(page) == ["nan", "inf", "0.5", "0.25", "None"]
    button.click()
    assert shown_names(page) == ["0.25", "0.5", "inf", "nan", "None"]


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_the_contrast_that_wcag_asks_for(driver: Any, path: str, dark: bool) -> None:
    page = Page(driver, path, dark=dark)
    background = luminance(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert (background < 0.05) == dark
    for selector in (
        "h1",
        ".lead",
        "td.overflow",
        "td.zero",
        "td.subnormal",
        "td.quiet",
        "thead th",
        ".folder",
        ".kind",
    ):
        colour = luminance(page.run(f"return getComputedStyle(document.querySelector('{selector}')).color"))
        ratio = (max(colour, background) + 0.05) / (min(colour, background) + 0.05)
        assert ratio >= 4.5, selector
    for zone in ("zero", "subnormal", "normal", "overflow"):
        fill = luminance(page.run(f"return getComputedStyle(document.querySelector('#overall .bar.{zone}')).fill"))
        assert (max(fill, background) + 0.05) / (min(fill, background) + 0.05) >= 3, zone
