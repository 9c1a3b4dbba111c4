"""The command line in this process, and bundles whose names try to do harm to a terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.handmade import HandmadeBundle, floats, strings
from tfbundle.cli import main

HOSTILE_NAMES = [
    b"\x1b]0;title\x07\x1b[2J",
    b"two\nlines\r",
    "right\u202eto\u2066left".encode(),
    b"nul\0",
    b"no \xff\xc3 UTF-8",
    "line\u2028next\x85".encode(),
    "ключ 漢字 🙂".encode(),
    b"back\\slash",
]


@dataclass(frozen=True)
class Outcome:
    """What a command returned and printed."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        """The output as JSON; fails the test where that is not pure ASCII."""
        assert self.output.isascii()
        return json.loads(self.output)

    def check_error(self, status: int, *phrases: str) -> None:
        """Check that the command failed with one line that has all the phrases."""
        assert self.status == status, self.errors
        assert self.errors.startswith("tfbundle: ")
        assert self.errors.endswith("\n")
        assert len(self.errors.splitlines()) == 1, self.errors
        assert not self.output
        for phrase in phrases:
            assert phrase in self.errors

    def check_printable(self) -> None:
        """Check that nothing that was printed can do more to a terminal than show text."""
        for char in (self.output + self.errors).replace("\n", ""):
            assert char.isprintable(), f"{char!r} in {self}"


class Command:
    """Runs ``tfbundle`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Outcome:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 0
        captured = self._capsys.readouterr()
        return Outcome(status, captured.out, captured.err)


def write_hostile(prefix: str | Path) -> str:
    """Write a bundle with hostile names and hostile strings, and return its prefix."""
    tensors = [floats(name, [1, 1e-9, 6e-8]) for name in HOSTILE_NAMES]
    return HandmadeBundle([*tensors, strings("strings", HOSTILE_NAMES)]).write(prefix)
