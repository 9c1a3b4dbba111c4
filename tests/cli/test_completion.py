"""The scripts that complete command lines, in the shells themselves."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_manual import PARSERS
from tests.support.commands import Command
from tests.support.handmade import HandmadeBundle, floats
from tests.support.requirements import needs_shell
from tfbundle.casting.casters import can_cast
from tfbundle.cli.completion import write_script
from tfbundle.cli.parser import VERBS
from tfbundle.errors import UnsupportedError
from tfbundle.format.dtypes import dtype_name

TRY_IN_BASH = """
while read -r line; do
  COMP_LINE=$line
  eval "COMP_WORDS=($line)"
  [[ $line == *' ' ]] && COMP_WORDS+=('')
  COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  COMPREPLY=()
  _shtab_tfbundle
  ( IFS='|'; echo "${COMPREPLY[*]}" )
done
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with checkpoints, and a script for each shell."""
    found = tmp_path_factory.mktemp("shells")
    (found / ".zfunc").mkdir()
    (found / ".zfunc" / "_tfbundle").write_text(write_script("zsh"))
    (found / ".bash").write_text(write_script("bash"))
    (found / ".fish").write_text(write_script("fish"))
    HandmadeBundle([floats("w", [1])]).write(found / "model.ckpt-1000")
    HandmadeBundle([floats("w", [1])], 3).write(found / "two words" / "other model")
    (found / "names.json").write_text("{}")
    return found


def in_bash(folder: Path, *lines: str) -> list[list[str]]:
    """Return what bash offers for each beginning of a command line; a dot at its end is not typed."""
    needs_shell("bash")
    script = f"shopt -u extglob; IFS=$' \\t\\n'; source .bash; {TRY_IN_BASH.replace('read -r', 'IFS= read -r')}"
    command = ["bash", "--norc", "-c", script]
    text = "".join(f"{line}\n" for line in lines)
    found = subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert found.stderr == ""
    return [sorted(line.split("|")) if line else [] for line in found.stdout.splitlines()]


def options_of(verb: str) -> list[str]:
    """Return the options of a verb, as its parser has them."""
    return sorted(word for action in PARSERS[verb]._actions for word in action.option_strings)


def typed(shell: str, folder: Path, keys: str) -> list[str]:
    """Return the arguments that ``tfbundle`` gets in a shell in which these keys are pressed, and then Enter."""
    needs_shell(shell)
    programs = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
    begin = {
        "bash": "bind 'set bell-style none'; source .bash",
        "zsh": "fpath=($PWD/.zfunc $fpath); autoload -U compinit; compinit -u -D",
    }
    show = """tfbundle() { printf '%s\\n' "$@" > typed; }"""
    (folder / "typed").unlink(missing_ok=True)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(TERM="dumb", HISTFILE="", ZDOTDIR=str(folder))
        os.execvp(programs[shell][0], programs[shell])
    os.write(terminal, f"{begin[shell]}; {show}\n{keys}\nexit\n".encode())
    try:
        while select.select([terminal], [], [], 30)[0]:
            os.read(terminal, 1 << 16)
        os.kill(child, signal.SIGKILL)
    except OSError:
        pass  # how Linux tells that the other end is closed
    os.waitpid(child, 0)
    os.close(terminal)
    return (folder / "typed").read_text().splitlines()


# Everything that the parser knows.


def test_verbs(folder: Path) -> None:
    found, *each = in_bash(folder, "tfbundle ", *(f"tfbundle {verb[:-1]}" for verb in VERBS))
    assert found == sorted(VERBS)
    for verb, offered in zip(VERBS, each, strict=True):
        assert verb in offered


def test_options(folder: Path) -> None:
    lines = [f"tfbundle {verb} -" for verb in VERBS] + ["tfbundle -"]
    assert in_bash(folder, *lines) == [options_of(verb) for verb in (*VERBS, "")]


def test_choices(folder: Path) -> None:
    options = [
        (f"tfbundle {verb} {word} ", sorted(map(str, action.choices)))
        for verb in VERBS
        for action in PARSERS[verb]._actions
        if action.choices is not None
        for word in action.option_strings
    ]
    assert len(options) >= 11
    assert in_bash(folder, *(line for line, _ in options)) == [choices for _, choices in options]


def test_every_path_is_completed_and_nothing_else(folder: Path) -> None:
    """What is neither a path nor one of several words is not guessed."""
    paths = {"SRC", "DST", "DST2", "A", "B", "DIR", "TEMPLATE", "FILE.json", "FILE.html", "FILE.npy"}
    no_paths = {"PAT", "NAME", "INDEX", "N", "SIZE", "R", "T", "PREFIX", "FROM=TO", "PAT=DTYPE"}
    lines, expected = [], []
    for verb in VERBS:
        for action in PARSERS[verb]._actions:
            if action.nargs != 0 and action.option_strings and action.metavar in paths | no_paths:
                lines.append(f"tfbundle {verb} {action.option_strings[-1]} mod")
                expected.append(["model.ckpt-1000"] if action.metavar in paths else [])
    assert [] in expected
    assert ["model.ckpt-1000"] in expected
    assert in_bash(folder, *lines) == expected


def test_positions(folder: Path) -> None:
    model = ["model.ckpt-1000"]
    found = in_bash(
        folder,
        "tfbundle halve mod",
        "tfbundle halve a mod",
        "tfbundle halve --keep x a mod",
        "tfbundle merge a b mod",
        "tfbundle show mod",
        "tfbundle show a mod",
        "tfbundle ls a mod",
        "tfbundle diff a mod",
        "tfbundle set a b nam",
        "tfbundle demo two",
        "tfbundle completion z",
    )
    assert found == [model, model, model, model, model, [], [], model, ["names.json"], ["two words"], ["zsh"]]


def test_dtypes(folder: Path) -> None:
    (found,) = in_bash(folder, "tfbundle cast --to ")
    names = {dtype_name(number) for number in range(1, 40)}
    castable = {name for name in names if any(can_cast(source, name) for source in names)}
    assert found == sorted(castable)


def test_checkpoints_go_by_their_prefixes(folder: Path) -> None:
    (found,) = in_bash(folder, "tfbundle ls two\\ words/oth")
    assert found in (["two words/other model"], ["two\\ words/other model"])


# In the hands of a user.


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        ("tfbundle ver\tmo\t", ["verify", "model.ckpt-1000"]),
        ("tfbundle ls two\toth\t", ["ls", "two words/other model"]),
        ("tfbundle halve mo\t half/ --optim\tdr\t", ["halve", "model.ckpt-1000", "half/", "--optimizer", "drop"]),
        ("tfbundle cast a b --to bf\t--map na\t", ["cast", "a", "b", "--to", "bfloat16", "--map", "names.json"]),
        (
            "tfbundle merge mo\t mo\t --mov\tmo\t",
            ["merge", "model.ckpt-1000", "model.ckpt-1000", "--move", "model.ckpt-1000"],
        ),
    ],
)
def test_keys(shell: str, keys: str, arguments: list[str], folder: Path) -> None:
    assert typed(shell, folder, keys) == arguments


def in_fish(folder: Path, line: str) -> list[str]:
    needs_shell("fish")
    script = f"source .fish; complete -C {shlex.quote(line)}"
    command = ["fish", "--no-config", "-c", script]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert found.stderr == ""
    return sorted(line.partition("\t")[0] for line in found.stdout.splitlines())


def test_fish(folder: Path) -> None:
    assert in_fish(folder, "tfbundle ") == sorted(VERBS)
    assert in_fish(folder, "tfbundle halve mo") == ["model.ckpt-1000"]
    assert in_fish(folder, "tfbundle halve a b --map na") == ["names.json"]
    assert in_fish(folder, "tfbundle cast --to bf") == ["bfloat16"]
    for verb in VERBS:
        long = [word for word in options_of(verb) if word.startswith("--")]
        assert in_fish(folder, f"tfbundle {verb} --") == long


# The verb.


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script(tfbundle: Command, shell: str) -> None:
    found = tfbundle("completion", shell)
    assert (found.status, found.errors) == (0, "")
    assert found.output.count("_tfbundle_files") > 1
    needs_shell(shell)
    checked = subprocess.run([shell, "-n"], input=found.output, capture_output=True, text=True, timeout=60, check=True)
    assert (checked.stdout, checked.stderr) == ("", "")


def test_parser_of_the_process_is_left_alone() -> None:
    before = PARSERS["halve"].format_help()
    write_script("bash")
    assert PARSERS["halve"].format_help() == before
    assert argparse.ArgumentParser().description is None


def test_without_shtab(tfbundle: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    tfbundle("completion", "bash").check_error(5, "shtab, which is missing", "pip install 'tfbundle[completion]'")
    with pytest.raises(UnsupportedError):
        write_script("bash")


def test_other_shells(tfbundle: Command) -> None:
    tfbundle("completion", "csh").check_error(2, "csh", "bash")
