"""Every ``--help``, found by walking the parser: complete, as wide as the terminal, with examples that work."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle as package
from tests.graph.test_constants import constant
from tests.support.graphs import meta_graph, small_graph
from tests.support.handmade import HandmadeBundle, flip, floats
from tests.support.processes import environment
from tests.support.requirements import corpus_root
from tfbundle.cli.manual import ManualFormatter, synopsis
from tfbundle.cli.parser import VERBS, build_parser
from tfbundle.cli.status import STATUS_TEXTS
from tfbundle.pb import message_class

MOST_COLUMNS = 100


def _verbs() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


PARSERS = {"": build_parser(), **_verbs()}
ACTIONS = [(verb, action) for verb, parser in PARSERS.items() for action in parser._actions if action.dest != "verb"]
each_verb = pytest.mark.parametrize("verb", PARSERS)
each_action = pytest.mark.parametrize(
    ("verb", "action"),
    ACTIONS,
    ids=[f"{verb} {(action.option_strings or [action.dest])[-1]}" for verb, action in ACTIONS],
)


def _help(verb: str, monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    return PARSERS[verb].format_help()


def _examples(verb: str) -> list[str]:
    """Return the commands of the examples; a backslash joins lines."""
    text = PARSERS[verb].format_help().partition("\nexamples:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in text.replace("\\\n", "").splitlines()]


EXAMPLES = [(verb, example) for verb in PARSERS for example in _examples(verb)]


def test_verbs_are_those_of_the_list() -> None:
    assert tuple(PARSERS) == ("", *VERBS)


# What is told.


@each_action
def test_every_argument_is_told_of(verb: str, action: argparse.Action) -> None:
    assert action.help, "no help"
    assert action.help != argparse.SUPPRESS
    assert not action.help.endswith("."), "texts of options are no sentences"
    assert not action.help.split()[0].istitle(), "nor do they begin as such"


@each_action
def test_every_choice_is_told_of(verb: str, action: argparse.Action) -> None:
    if action.nargs == 0 or not action.choices or not action.option_strings:
        return
    for choice in action.choices:
        assert re.search(rf"\b{re.escape(str(choice))}\b", action.help or ""), choice


@each_action
def test_every_default_is_told(verb: str, action: argparse.Action, monkeypatch: pytest.MonkeyPatch) -> None:
    if not action.option_strings or action.nargs == 0 or action.default is None or action.default in ("", []):
        return
    _, _, rest = _help(verb, monkeypatch).partition(f"\n  {action.option_strings[0]} ")
    told = re.split(r"\n(?:  -|\n)", rest)[0]
    assert f"default: {action.default})" in " ".join(told.split())


@each_action
def test_numbers_have_a_unit_or_a_count(verb: str, action: argparse.Action) -> None:
    """A number without a metavar would be told as its own option in capitals."""
    if action.type in (int, float):
        assert action.metavar in ("N", "R", "T"), action.option_strings


@each_verb
def test_synopsis_comes_first(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _help(verb, monkeypatch)
    usage = text.partition("\n\n")[0]
    assert usage.startswith(f"usage: tfbundle {verb or 'VERB'}")
    for action in PARSERS[verb]._actions:
        if not action.option_strings and isinstance(action.metavar, str):
            assert re.search(rf"\b{re.escape(action.metavar)}\b", usage), action.metavar


@each_verb
def test_sections_of_a_manual_page(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _help(verb, monkeypatch)
    assert (
        text.index("usage: ")
        < text.index("\noptions:\n")
        < text.index("\nexit status:\n")
        < text.index("\nexamples:\n")
    )
    for status, meaning in STATUS_TEXTS.items():
        assert re.search(rf"^  {status} +{re.escape(meaning)}$", text, re.MULTILINE)
    sections = ("\nenvironment:\n", "\nfiles:\n", "--version") if not verb else ("`tfbundle --help`",)
    for section in sections:
        assert section in text
    for variable in ("COLUMNS", "NO_COLOR", "TERM", "TMPDIR"):
        assert verb or f"\n  {variable} " in text


@each_verb
def test_descriptions_are_sentences(verb: str) -> None:
    description = PARSERS[verb].description or ""
    assert description.endswith("."), description
    assert description[0].isupper()


# How wide.


@pytest.mark.parametrize("columns", [1, 40, 80, 120, 200])
@each_verb
def test_help_fits_the_terminal(verb: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    room = min(columns, MOST_COLUMNS)
    lines = _help(verb, monkeypatch, columns).splitlines()
    if columns >= 80:
        assert max(map(len, lines)) <= room
        assert max(map(len, lines)) > room * 3 // 4
    examples = lines.index("examples:")
    for number, line in enumerate(lines):
        is_command = number > examples and line.startswith("  ")
        is_one_word = len(line.split()) <= 2 and columns < 80  # an option and its value, a key, an indented word
        assert len(line) <= max(room, 22) or is_command or is_one_word, line


def test_width_of_a_terminal_that_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _help("halve", monkeypatch, 0)


@each_verb
def test_options_are_not_cut_at_their_hyphens(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in range(40, 100, 7):
        assert not re.search(r"[a-z]-$", _help(verb, monkeypatch, columns), re.MULTILINE)


# Examples.


@each_verb
def test_there_are_examples(verb: str) -> None:
    assert _examples(verb)


@pytest.mark.parametrize(("verb", "example"), EXAMPLES)
def test_examples_are_parsed(verb: str, example: str) -> None:
    words = shlex.split(example.partition(" > ")[0])
    assert words[0] == "tfbundle"
    assert not verb or words[1] == verb
    assert build_parser(words[1:]).parse_args(words[1:]).verb == words[1]


@pytest.fixture(scope="module")
def scene() -> Iterator[Path]:
    """A directory with all that the examples name."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for step in (600, 700, 800, 900, 1000):
            _write_model(top / f"model.ckpt-{step}", step)
            _write_model(top / "training" / f"model.ckpt-{step}", step)
        for name in ("left.ckpt", "right.ckpt", "copy/model.ckpt-1000", "half.ckpt"):
            _write_model(top / name, 1000)
        names = "".join(f'all_model_checkpoint_paths: "model.ckpt-{step}"\n' for step in (600, 700, 800, 900, 1000))
        (top / "training" / "checkpoint").write_text(f'model_checkpoint_path: "model.ckpt-1000"\n{names}')
        package.halve(top / "half.ckpt", top / "half" / "model.ckpt-1000")
        for number, name in enumerate(("encoder.ckpt", "decoder.ckpt")):
            HandmadeBundle([floats(name, [1, 2])]).write(top / name)
            HandmadeBundle([floats(name, [1, 2])]).write(top / "model.ckpt-2000_temp" / f"part-0000{number}-of-00002")
        _write_model(top / "broken" / "model.ckpt-1000", 1000)
        (top / "broken" / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1000"\n')
        flip(top / "broken" / "model.ckpt-1000.data-00000-of-00001", 0)
        (top / "graph.meta").write_bytes(meta_graph(small_graph()).SerializeToString())
        np.save(top / "bias.npy", np.zeros(4, np.float32))
        np.save(top / "table.npy", np.zeros((9, 4), np.float32))
        (top / ".config" / "fish" / "completions").mkdir(parents=True)
        yield top


def _write_other_formats(top: Path) -> None:
    """Write what is no checkpoint: arrays of bit patterns in an archive and in safetensors files, and scripts."""
    bits = np.arange(6, dtype=np.uint16).reshape(2, 3)
    arrays: Any = {"dense.kernel": bits}
    np.savez(top / "weights.npz", **arrays)
    header = {"dense.kernel": {"dtype": "U16", "shape": bits.shape, "data_offsets": (0, bits.nbytes)}}
    for name in ("model.safetensors", "model-00001-of-00001.safetensors"):
        text = json.dumps(header).encode()
        (top / name).write_bytes(len(text).to_bytes(8, "little") + text + bits.tobytes())
    places = {
        "metadata": {"total_size": bits.nbytes},
        "weight_map": {"dense.kernel": "model-00001-of-00001.safetensors"},
    }
    (top / "model.safetensors.index.json").write_text(json.dumps(places))
    name = "sys.argv[-1 if '--checkpoint' in sys.argv else 1]"
    script = f"import sys, tensorflow as tf\nprint(tf.train.list_variables({name}))\n"
    (top / "converters").mkdir()
    for place in (top / "convert.py", top / "converters" / "bert.py"):
        place.write_text(script)


def _write_model(prefix: Path, step: int) -> None:
    names = (
        "dense/kernel",
        "encoder/kernel",
        "bert/dense/kernel",
        "bert/dense/kernel/ExponentialMovingAverage",
        "bn/moving_mean",
    )
    tensors = {name: np.full((3, 4), step / 1000, np.float32) for name in names}
    sizes = {"w": (2, 3), "v": (4,), "dense/bias": (4,), "embedding": (7, 4), "bn/moving_variance": (4,)}
    tensors |= {name: np.ones(shape, np.float32) for name, shape in sizes.items()}
    package.save(prefix, {**tensors, "global_step": np.int32(step)})


MAY_BE_1 = {"diff", "salvage"}
NEED_OTHER_FORMATS = {"import", "run"}


@pytest.mark.parametrize(("verb", "example"), EXAMPLES)
def test_examples_work(verb: str, example: str, scene: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-R", f"{scene}/.", str(tmp_path)], check=True)
    if "halve" in example:
        subprocess.run(["rm", "-r", str(tmp_path / "half")], check=True)
    if "saved_model/" in example:
        subprocess.run(
            ["cp", "-R", str(corpus_root() / "synth/keras2_conv/sm"), str(tmp_path / "saved_model")], check=True
        )
    if "frozen.pb" in example:
        message = message_class("GraphDef")(node=[constant("w", (100,), bytes(400))])
        (tmp_path / "frozen.pb").write_bytes(message.SerializeToString())
    if verb in NEED_OTHER_FORMATS:
        _write_other_formats(tmp_path)
    if find_spec("tensorflow"):  # and the stand-in is for where it is not
        example = example.replace("tfbundle run ", "tfbundle run --hide-tensorflow ")
    before = set(os.listdir(tmp_path))
    script = f'tfbundle() {{ "{sys.executable}" -m tfbundle "$@"; }}; {example}'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment(HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode in ((0, 1) if verb in MAY_BE_1 else (0,)), done.stdout
    assert done.stdout or set(os.listdir(tmp_path)) != before or "completions" in example


# The parts.


def test_synopsis_of_every_kind_of_argument() -> None:
    parser = argparse.ArgumentParser("x")
    parser.add_argument("one", metavar="A")
    parser.add_argument("some", metavar="B", nargs="+")
    parser.add_argument("maybe", nargs="?")
    parser.add_argument("--must", metavar="M", required=True)
    parser.add_argument("rest", metavar="REST", nargs=argparse.REMAINDER)
    assert synopsis(parser) == "%(prog)s [OPTION ...] --must M A B [B ...] [MAYBE] [REST ...]"


def test_paragraphs_are_wrapped_and_lists_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "32")
    formatter = ManualFormatter("x")
    paragraph = "one two three four\nfive six seven eight"
    listed = "list:\n  a     one two three four five six\n  a command --of-its-own that is long"
    formatter.add_text(f"{paragraph}\n\n{listed}")
    assert formatter.format_help().splitlines() == [
        "one two three four five six",
        "seven eight",
        "",
        "list:",
        "  a     one two three four",
        "        five six",
        "  a command --of-its-own that is long",
    ]


def test_default_is_added_where_it_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    parser = argparse.ArgumentParser("x", formatter_class=ManualFormatter)
    parser.add_argument("--zero", default=0.0, help="a number")
    parser.add_argument("--told", default=3, help="a number (default: three)")
    parser.add_argument("--none", help="a number, 50 %% of it")
    parser.add_argument("--flag", action="store_true", help="a flag")
    text = parser.format_help()
    assert re.findall(r"^  --(?:zero|told|none|flag).*?  +(.*)$", text, re.MULTILINE) == [
        "a number (default: 0.0)",
        "a number (default: three)",
        "a number, 50 % of it",
        "a flag",
    ]
