"""Launchers for all tests here, and what their matrices found, at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults.matrix import Bench, Tally, opened_bench


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    with opened_bench() as found:
        yield found


@pytest.fixture
def check(record_property: Callable[[str, object], None]) -> Callable[[Tally], None]:
    """Fail where a matrix found something, and remember its sums for the summary."""

    def enter(tally: Tally) -> None:
        record_property("faults", str(tally))
        assert not tally.wrong, "\n".join([str(tally), *tally.wrong[:40]])

    return enter


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    found = [text for report in reports for name, text in getattr(report, "user_properties", ()) if name == "faults"]
    if found:
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(found))
