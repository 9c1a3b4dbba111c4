from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Command
from tfbundle.cli.progress import BarProgress, LineProgress, terminal_progress
from tfbundle.streaming.progress import NoProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal; in a fixture, pytest would undo that before the test."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose time is the list's only number."""
    now = [100.0]
    monkeypatch.setattr("tfbundle.cli.progress.time.monotonic", lambda: now[0])
    return now


def test_choice_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    make_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "xterm")
    pytest.importorskip("tqdm")
    assert isinstance(terminal_progress(quiet=False), BarProgress)
    assert isinstance(terminal_progress(quiet=True), NoProgress)


def test_choice_for_a_terminal_that_cannot_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    make_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(terminal_progress(quiet=False), LineProgress)
    assert isinstance(terminal_progress(quiet=True), NoProgress)


def test_choice_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    make_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert isinstance(terminal_progress(quiet=False), LineProgress)


def test_choice_off_a_terminal() -> None:
    assert isinstance(terminal_progress(quiet=False), LineProgress)
    assert isinstance(terminal_progress(quiet=True), NoProgress)


def test_lines(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineProgress()
    lines.start(3_000_000)
    for seconds, nbytes in ((4.9, 1_000_000), (0.2, 500_000), (4.9, 100_000), (0.2, 650_000), (100, 750_000)):
        clock[0] += seconds
        lines.advance(nbytes)
    lines.finish()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"tfbundle: {percent} % of 3.0 MB" for percent in (50, 75, 100)]


def test_short_run_prints_no_line(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineProgress()
    lines.start(10)
    clock[0] += 4
    lines.advance(10)
    lines.finish()
    assert capsys.readouterr() == ("", "")


def test_nothing_to_do(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineProgress()
    lines.start(0)
    clock[0] += 10
    lines.advance(0)
    lines.finish()
    assert capsys.readouterr().err == "tfbundle: 0 % of 0 B\n"


def show_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bars be drawn without delay."""
    tqdm = pytest.importorskip("tqdm").tqdm

    def make(**options: Any) -> Any:
        return tqdm(**{**options, "delay": 0, "mininterval": 0, "miniters": 1})

    monkeypatch.setattr("tqdm.tqdm", make)


def test_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = make_terminal(monkeypatch)
    show_at_once(monkeypatch)
    bar = BarProgress()
    bar.start(4_000_000)
    bar.advance(1_000_000)
    bar.advance(2_000_000)
    drawn = terminal.getvalue()
    assert "25%" in drawn
    assert "75%" in drawn
    assert "/4.00M" in drawn
    bar.finish()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().rsplit("\r", 2)[1].strip() == ""


def test_bar_of_a_run(tfbundle: Command, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = make_terminal(monkeypatch)
    show_at_once(monkeypatch)
    assert tfbundle("halve", source, tmp_path / "half").status == 0
    assert "100%" in terminal.getvalue()


def test_short_run_draws_no_bar(
    tfbundle: Command, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = make_terminal(monkeypatch)
    assert tfbundle("halve", source, tmp_path / "half").status == 0
    assert terminal.getvalue().strip("\r ") == ""


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_no_bar_when_quiet(
    tfbundle: Command, source: str, tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = make_terminal(monkeypatch)
    show_at_once(monkeypatch)
    assert tfbundle("halve", source, tmp_path / "half", option).status == 0
    assert terminal.getvalue() == ""
