"""R17: what standard output and standard error may be connected to, for every verb."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.support.handmade import HandmadeBundle, flip, floats, integers
from tests.support.processes import environment
from tfbundle.cli.parser import VERBS

COMMANDS = {
    "halve": "halve {source} {target}",
    "cast": "cast {source} {target} --to bfloat16",
    "merge": "merge {source} {target}",
    "average": "average {source} {source} {target}",
    "set": "set {source} w {new} --output {target}",
    "export": "export {source} {target}.npz",
    "import": "import {new} {target}",
    "ls": "ls {source}",
    "show": "show {source} w --all",
    "stats": "stats {source}",
    "verify": "verify {source}",
    "diff": "diff {source} {other} --all",
    "salvage": "salvage {source} {target}",
    "demo": "demo",
    "completion": "completion bash",
    "json": "ls {source} --json",
    "help": "--help",
    "help of a verb": "halve --help",
    "version": "--version",
}
DIFFERENT = {"diff"}
WRITING = {"halve", "cast", "merge", "average", "set", "import", "salvage"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with bundles that make long output."""
    found = tmp_path_factory.mktemp("streams")
    tensors = [floats(f"layer{number:04d}/kernel", [number, 1e-9]) for number in range(3000)]
    HandmadeBundle([*tensors, floats("w", range(3000))]).write(found / "source")
    HandmadeBundle([*tensors[::2], integers("w", range(5))]).write(found / "other")
    HandmadeBundle([floats("w", [1, 2])]).write(found / "damaged")
    flip(found / "damaged.data-00000-of-00001", 0)
    return found


def _words(folder: Path, target: Path, label: str) -> list[str]:
    new = folder / "new.npy"
    if not new.exists():
        np.save(new, np.zeros(3000, np.float32))
    paths = {name: str(folder / name) for name in ("source", "other", "damaged")}
    return [word.format(**paths, new=str(new), target=str(target)) for word in COMMANDS[label].split()]


def _plain(**changes: str | None) -> dict[str, str]:
    """Return an environment in which output is buffered, as it is for users."""
    return environment(**{"PYTHONUNBUFFERED": None, **changes})


def _run(words: list[str], redirection: str, **changes: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run ``tfbundle`` with its streams redirected by a shell."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "tfbundle", *words]
    return subprocess.run(command, capture_output=True, env=_plain(**changes), timeout=120, check=False)


def test_every_verb_is_tried() -> None:
    assert set(VERBS) - {"run"} <= set(COMMANDS)  # whose output is the script's, as under Python


@pytest.mark.parametrize("label", COMMANDS)
def test_r17_pipe_that_is_closed(folder: Path, tmp_path: Path, label: str) -> None:
    """As of ``tfbundle … | true``: nothing is printed, and the status is that of a program that SIGPIPE ends."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tfbundle", *_words(folder, tmp_path / "target", label)]
    with os.fdopen(writing, "wb") as pipe:
        found = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, env=_plain(), timeout=120, check=False)
    assert (found.returncode, found.stderr) == (141, b"")
    if label in WRITING:
        assert package.verify(tmp_path / "target").ok


@pytest.mark.parametrize("label", ["ls", "json"])
def test_r17_head(folder: Path, tmp_path: Path, label: str) -> None:
    command = " ".join([sys.executable, "-m tfbundle", *_words(folder, tmp_path / "target", label)])
    script = f"({command}; echo status $? >&2) | head -n 1"
    found = subprocess.run(["sh", "-c", script], capture_output=True, env=_plain(), timeout=120, check=False)
    assert found.stderr == b"status 141\n"
    assert found.stdout.count(b"\n") == 1


CLOSED = [(label, redirection) for label in COMMANDS for redirection in (">&-", "2>&-")]
CLOSED += [(label, redirection) for label in ("halve", "ls") for redirection in (">&- 2>&-", "<&- >&- 2>&-")]


@pytest.mark.parametrize(("label", "redirection"), CLOSED)
def test_r17_streams_that_are_closed(folder: Path, tmp_path: Path, label: str, redirection: str) -> None:
    found = _run(_words(folder, tmp_path / "target", label), redirection)
    assert found.returncode == (1 if label in DIFFERENT else 0)
    assert found.stderr == b""
    assert bool(found.stdout) == (redirection == "2>&-")
    if label in WRITING:
        assert package.verify(tmp_path / "target").ok
        data = (tmp_path / "target.data-00000-of-00001").read_bytes()
        assert b"tfbundle" not in data


@pytest.mark.parametrize("redirection", ["", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_r17_no_file_takes_the_place_of_a_stream(redirection: str) -> None:
    """Or what is meant for a terminal would be written into it."""
    script = (
        "import os; from tfbundle.cli import main; main(['ls', 'no/such']); os._exit(os.open(os.devnull, os.O_RDONLY))"
    )
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, env=_plain(), timeout=120, check=False)
    assert found.returncode >= 3


@pytest.mark.parametrize("label", COMMANDS)
def test_r17_output_that_is_full(folder: Path, tmp_path: Path, label: str) -> None:
    found = _run(_words(folder, tmp_path / "target", label), ">/dev/full")
    told = (
        b""
        if label in ("help", "help of a verb", "version")
        else b"tfbundle: standard output: No space left on device\n"
    )
    assert (found.returncode, found.stderr) == (7, told)
    if label in WRITING:
        assert package.verify(tmp_path / "target").ok


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["ls", "no/such"], 3),
        (["ls", "no/such", "--debug"], 1),
        (["ls", "--no-such-option"], 2),
        (["show", "damaged", "w"], 4),
    ],
)
def test_r17_errors_that_nobody_hears(folder: Path, words: list[str], status: int, redirection: str) -> None:
    """The exit status tells all the same, and nothing of it goes to standard output."""
    found = _run([str(folder / word) if word == "damaged" else word for word in words], redirection)
    assert (found.returncode, found.stdout, found.stderr) == (status, b"", b"")


@pytest.mark.parametrize("label", COMMANDS)
def test_r17_notes_and_errors_to_a_closed_pipe(folder: Path, tmp_path: Path, label: str) -> None:
    """As of ``tfbundle … 2>&1 | true``."""
    reading, writing = os.pipe()
    os.close(reading)
    for words in (_words(folder, tmp_path / "target", label), ["show", str(folder / "damaged"), "w"]):
        command = [sys.executable, "-m", "tfbundle", *words]
        found = subprocess.run(command, stdout=writing, stderr=writing, env=_plain(), timeout=120, check=False)
        assert found.returncode in (141, 4)
    os.close(writing)


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp1252", "TERM": "dumb"},
        {"TERM": None, "COLUMNS": "0", "LC_ALL": "no_such_LOCALE"},
    ],
)
def test_r17_whatever_the_terminal_is_said_to_be(tmp_path: Path, variables: dict[str, str | None]) -> None:
    HandmadeBundle([floats("ключ/\x1b[1m", [1])]).write(tmp_path / "source")
    found = _run(["ls", str(tmp_path / "source")], "", **variables)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"\x1b" not in found.stdout
    missing = _run(["show", str(tmp_path / "source"), "ключ"], "", **variables)
    assert missing.returncode == 3
    assert missing.stderr.count(b"\n") == 1


def test_r17_a_bar_on_a_terminal_has_no_names(tmp_path: Path) -> None:
    """What a bar sends to move the cursor is all that is sent."""
    source = HandmadeBundle([floats("\x1b]0;title\x07\u202e", np.zeros(1 << 20))]).write(tmp_path / "\x1b[31m")
    status, printed = _run_on_terminal(["halve", source, str(tmp_path / "\x1b[32m")], TERM="xterm")
    assert status == 0
    for piece in (b"\x1b[31m", b"\x1b[32m", b"\x1b]0;", b"\x07", "\u202e".encode()):
        assert piece not in printed


COLOR = re.compile(rb"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("label", [*COMMANDS, "wrong usage"])
def test_no_color_on_a_terminal(folder: Path, tmp_path: Path, label: str) -> None:
    """As https://no-color.org has it; only ``argparse`` itself colours, from Python 3.14 on."""
    words = ["ls", "--nope"] if label == "wrong usage" else _words(folder, tmp_path / "target", label)
    status, printed = _run_on_terminal(words, TERM="xterm-256color", NO_COLOR="1", FORCE_COLOR=None)
    assert status == (2 if label == "wrong usage" else 1 if label in DIFFERENT else 0)
    assert printed
    assert not COLOR.search(printed)


def _run_on_terminal(words: list[str], **changes: str | None) -> tuple[int, bytes]:
    """Run ``tfbundle`` on a terminal; return its exit status and what it printed."""
    reading, writing = pty.openpty()
    script = "import sys; from tfbundle.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words], stdout=writing, stderr=writing, env=_plain(**changes)
    )
    os.close(writing)
    printed = b""
    try:
        while chunk := os.read(reading, 1 << 16):
            printed += chunk
    except OSError:
        pass  # how Linux tells that the other end is closed
    os.close(reading)
    return process.wait(60), printed
