"""The README's examples, run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tfbundle.cli.parser import VERBS

TOP = Path(__file__).resolve().parent.parent
README = (TOP / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which ``tfbundle`` is this package's command, and ``python3`` this interpreter."""
    programs = folder / "bin"
    programs.mkdir()
    for name, command in (("tfbundle", f'"{sys.executable}" -m tfbundle'), ("python3", f'"{sys.executable}"')):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(TOP)}


def test_commands_print_what_the_readme_shows(tmp_path: Path) -> None:
    environment = _environment(tmp_path)
    commands = 0
    for block in _blocks("console"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = example.partition("\n")
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, ""), command
            if expected:
                assert done.stdout == expected, command
            commands += 1
    assert commands >= 6


def test_python_example_prints_what_its_comments_say(tmp_path: Path) -> None:
    (block,) = _blocks("python")
    expected = [
        line.partition("  # ")[2].partition("; ")[0] for line in block.splitlines() if line.strip().startswith("print(")
    ]
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section(verb: str) -> None:
    assert f"\n### {verb}: " in README
