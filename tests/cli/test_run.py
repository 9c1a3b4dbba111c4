"""``tfbundle run``: its command line. What scripts see of it is tested with ``tfbundle.compat.hosting``."""

from __future__ import annotations

import pytest

from tfbundle.cli import main
from tfbundle.cli.parser import parse_options


def test_all_that_follows_the_script_is_its_own() -> None:
    words = ["-m", "x", "--hide-tensorflow", "--", "--debug", "-h"]
    options = parse_options(["run", "--hide-tensorflow", "a.py", *words])
    assert (options.script, options.arguments, options.module) == ("a.py", words, None)
    assert options.hide_tensorflow
    assert not options.debug


def test_all_that_follows_the_module_is_its_own() -> None:
    options = parse_options(["run", "-m", "pkg.module", "a", "--hide-tensorflow"])
    assert options.module == ["pkg.module", "a", "--hide-tensorflow"]
    assert not options.hide_tensorflow


@pytest.mark.parametrize("words", [[], ["--hide-tensorflow"], ["-m"]], ids=str)
def test_nothing_to_run(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words]) == 2
    expected = "tfbundle: give a SCRIPT to run, or -m MODULE; tfbundle run --help tells more\n"
    assert capsys.readouterr().err == expected


def test_option_of_no_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["run", "--no-such-option"])
    assert leaving.value.code == 2
    assert "--no-such-option" in capsys.readouterr().err
