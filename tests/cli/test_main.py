from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import Command, write_hostile
from tests.support.handmade import HandmadeBundle, flip, floats
from tests.support.processes import environment, run_script, run_tfbundle
from tfbundle.cli import ls as ls_module
from tfbundle.cli import main
from tfbundle.cli.parser import build_parser

OPTIONS = {
    "halve": "--keep --only --drop --optimizer --on-overflow --jobs --force --dry-run --json --quiet --debug SRC DST",
    "ls": "--json --debug SRC PAT",
    "show": "--where --all --json --debug SRC NAME",
    "verify": "--json --quiet --debug SRC",
    "diff": "--rtol --atol --only --ignore-dtype --bits --quick --all --json --quiet --debug A B",
    "salvage": "--shards --max-shard-size --jobs --force --dry-run --json --quiet --debug SRC DST",
    "demo": "--json --force --debug DIR",
}


# Help.


def test_help(tfbundle: Command) -> None:
    found = tfbundle("--help")
    assert (found.status, found.errors) == (0, "")
    for verb in OPTIONS:
        assert f"\n    {verb} " in found.output
    assert "exit status:\n  0    done\n" in found.output


@pytest.mark.parametrize("verb", OPTIONS)
def test_help_of_a_verb(tfbundle: Command, verb: str) -> None:
    found = tfbundle(verb, "--help")
    assert (found.status, found.errors) == (0, "")
    for option in OPTIONS[verb].split():
        assert f"\n  {option}" in found.output, option
    assert f"\n  tfbundle {verb}" in found.output, "an example"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in OPTIONS)])
def test_help_needs_no_numpy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from tfbundle.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'google.protobuf', 'crc32c', 'tqdm', 'ml_dtypes', 'tensorflow'} & set(sys.modules)))"
    )
    assert run_script(script).splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", OPTIONS)
def test_a_verb_is_parsed_alike_without_the_others(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([verb, "--help"], [verb, "--nonsense"], [verb]):
        outputs = []
        for parser in (build_parser(), build_parser(arguments)):
            with contextlib.suppress(SystemExit):
                parser.parse_args(arguments)
            outputs.append(capsys.readouterr())
        assert outputs[0] == outputs[1]
        assert any(outputs[0]) or verb == "demo"


def test_only_the_verb_that_is_asked_for_is_imported() -> None:
    script = (
        "import sys\n"
        "from tfbundle.cli import main\n"
        "main(['ls', 'no/such'])\n"
        "print(sorted({'halve', 'merge', 'ls', 'show', 'verify', 'demo'} & {name[13:] for name in sys.modules}))"
    )
    assert run_script(script).splitlines()[-1] == "['ls']"


def test_version(tfbundle: Command) -> None:
    first, second = tfbundle("--version").output.splitlines()
    assert first == f"tfbundle {package.__version__}"
    assert f"Python {platform.python_version()}, numpy {np.__version__}, protobuf " in second
    assert "no-such" not in second


def test_verb_that_is_spelled_wrong(tfbundle: Command) -> None:
    tfbundle("hlave", "a", "b").check_error(
        2, "there is no verb 'hlave'; the nearest is halve; tfbundle --help tells more"
    )
    tfbundle("quantize").check_error(2, "there is no verb 'quantize'; expected one of halve, cast, merge, ")
    tfbundle("\x1b[1m").check_error(2, "there is no verb '\\x1b[1m'")


# Exit statuses.


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["halve"],
        ["halve", "a"],
        ["halve", "a", "b", "c"],
        ["halve", "a", "b", "--optimizer", "forget"],
        ["halve", "a", "b", "--jobs", "many"],
        ["ls"],
        ["show", "a"],
        ["verify", "--nope", "a"],
        ["diff", "a"],
        ["salvage", "a"],
        ["diff", "a", "b", "--rtol", "much"],
        ["ls", "a", "--\x1b[1m\n"],
    ],
)
def test_usage(tfbundle: Command, arguments: list[str]) -> None:
    tfbundle(*arguments).check_error(2, "--help tells more")


@pytest.mark.parametrize("verb", ["ls", "verify"])
def test_source_that_is_missing(tfbundle: Command, tmp_path: Path, verb: str) -> None:
    missing = tmp_path / "missing"
    tfbundle(verb, missing).check_error(3, f"{missing}: ", "Failed to find any matching files")
    tfbundle(verb, tmp_path).check_error(3, str(tmp_path), "Couldn't find 'checkpoint' file or checkpoints")


def test_no_jobs(tfbundle: Command, source: str, tmp_path: Path) -> None:
    tfbundle("halve", source, tmp_path / "half", "--jobs", "0").check_error(2, "jobs")


def test_damaged_index(tfbundle: Command, source: str, tmp_path: Path) -> None:
    flip(f"{source}.index", 10)
    for arguments in (
        ["ls", source],
        ["show", source, "x"],
        ["verify", source],
        ["halve", source, str(tmp_path / "h")],
    ):
        tfbundle(*arguments).check_error(4, f"{source}.index: block 0", "block checksum mismatch")


def test_git_lfs_pointer(tfbundle: Command, source: str) -> None:
    Path(f"{source}.index").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    tfbundle("ls", source).check_error(4, "Git LFS pointer", "git lfs pull")


def test_unsupported(tfbundle: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no checkpoint")
    tfbundle("ls", tmp_path / "notes.txt").check_error(5, "neither a checkpoint's prefix nor one of its files")
    os.mkfifo(tmp_path / "pipe.index")
    tfbundle("ls", tmp_path / "pipe").check_error(5, "not a regular file")


def test_missing_shard(tfbundle: Command, source: str, tmp_path: Path) -> None:
    os.remove(f"{source}.data-00000-of-00002")
    for arguments in (["show", source, "step"], ["halve", source, str(tmp_path / "half")]):
        tfbundle(*arguments).check_error(3, "model.data-00000-of-00002", "No such file or directory", "shard 0 of 2")


def test_target_that_cannot_be_made(tfbundle: Command, source: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    tfbundle("halve", source, tmp_path / "file" / "half").check_error(7, str(tmp_path / "file"))


def test_interrupt(tfbundle: Command, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ls_module, "format_table", interrupt)
    found = tfbundle("ls", source)
    assert (found.status, found.output, found.errors) == (130, "", "")


@pytest.mark.parametrize("name", ["", "missing"])
def test_termination_handler_is_put_back(tfbundle: Command, source: str, name: str) -> None:
    def handler(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, handler)
    try:
        tfbundle("ls", source + name)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


# Tracebacks.


def test_debug_raises(source: str) -> None:
    with pytest.raises(package.TensorNotFoundError):
        main(["show", source, "missing", "--debug"])


def test_bugs_raise(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(ls_module, "format_table", fail)
    with pytest.raises(KeyError, match="a bug"):
        main(["ls", source])


def test_traceback_with_debug_only(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    status, output, errors = run_tfbundle("ls", missing)
    assert (status, output) == (3, "")
    assert len(errors.splitlines()) == 1
    status, output, errors = run_tfbundle("ls", missing, "--debug")
    assert status != 0
    assert "Traceback" in errors
    assert "BundleNotFoundError" in errors


# Terminals of any kind.


def test_locale_without_unicode(tmp_path: Path) -> None:
    source = write_hostile(tmp_path / "source")
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None}
    for arguments in (
        ["ls", source],
        ["ls", source, "--json"],
        ["verify", source],
        ["show", source, "strings"],
        ["halve", source, str(tmp_path / "half")],
        ["demo"],
    ):
        status, output, errors = run_tfbundle(*arguments, **plain)
        assert (status, errors) == (0, "")
        assert output.isascii()
        assert all(char.isprintable() for char in output.replace("\n", ""))
    assert "\\u043a" in run_tfbundle("ls", source, **plain)[1]


@pytest.mark.parametrize(("redirection", "status"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), (">/dev/full", 7)])
def test_output_that_goes_nowhere(source: str, redirection: str, status: int) -> None:
    """As where a daemon starts the command."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "tfbundle", "ls", source]
    found = subprocess.run(command, capture_output=True, env=environment(), timeout=60, check=False)
    assert found.returncode == status, found.stderr
    assert b"Traceback" not in found.stderr


def test_relative_prefix_that_looks_like_an_option(
    tfbundle: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    HandmadeBundle([floats("w", np.ones(3))]).write("./-odd")
    assert tfbundle("ls", "--", "-odd").status == 0


def test_console_script_and_module_agree(source: str, tfbundle: Command) -> None:
    status, output, errors = run_tfbundle("ls", source)
    found = tfbundle("ls", source)
    assert (status, output, errors) == (found.status, found.output, found.errors)
