"""R12: names of tensors that try to do harm, through every verb and every form of output."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import Command, Outcome
from tests.support.handmade import HandmadeBundle, HandmadeTensor, flip, floats, integers, string_scalar
from tests.support.hostile import (
    NAMES,
    decode_json_name,
    hostile_graph,
    hostile_tensors,
    texts,
    tree_of,
    write_hostile_bundle,
)
from tests.support.partitions import slice_key
from tests.support.processes import run_tfbundle
from tests.support.tables import assemble_table, plain_block, write_table
from tests.support.wire import bytes_field, varint_field
from tfbundle.errors import BundleError

PLAIN = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}
BOOKKEEPING = {"_CHECKPOINTABLE_OBJECT_GRAPH"}
OTHERS = {"\x1b[1mstrings\n", "\x1b[1mstep\n"}
EVERY = {*texts(), *OTHERS}


class Scene:
    """Bundles with hostile names, and a place for results.

    Attributes:
        inputs: the directory of the bundles.
        results: where commands write.
        working: the directory commands run in.
    """

    def __init__(self, inputs: Path, folder: Path) -> None:
        self.inputs, self.results, self.working = inputs, folder / "out", folder / "cwd"
        self.working.mkdir()

    def fill(self, command: str) -> list[str]:
        """Return a command's words; ``@x`` is the input x, ``>x`` the result x."""
        return [self._fill(word) for word in command.split()]

    def _fill(self, word: str) -> str:
        if word[0] == "@":
            return str(self.inputs / word[1:])
        return str(self.results / word[1:]) if word[0] == ">" else word


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of bundles, which no test changes."""
    folder = tmp_path_factory.mktemp("inputs")
    write_hostile_bundle(folder / "plain")
    write_hostile_bundle(folder / "other", 2, 8)
    graph = string_scalar("_CHECKPOINTABLE_OBJECT_GRAPH", hostile_graph())
    HandmadeBundle([*hostile_tensors(), graph]).write(folder / "objects")
    write_hostile_bundle(folder / "damaged")
    for at in range(len(NAMES)):
        flip(folder / "damaged.data-00000-of-00001", 12 * at)
    HandmadeBundle(hostile_tensors()[::2]).write(folder / "even")
    HandmadeBundle(hostile_tensors()[1::2]).write(folder / "odd")
    np.save(folder / "new.npy", np.zeros(3, np.float32))
    names = {name: f"{name}2" for name in texts() if not _has_surrogates(name)}
    (folder / "map.json").write_text(json.dumps(names))
    _write_refused(folder)
    return folder


@pytest.fixture
def scene(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    found = Scene(inputs, tmp_path)
    monkeypatch.chdir(found.working)
    return found


def _run(tfbundle: Command, scene: Scene, *arguments: str) -> Outcome:
    """Run a command; check what it prints, and that it writes nothing but results."""
    before = tree_of(scene.inputs, scene.working)
    found = tfbundle(*arguments)
    found.check_printable()
    assert tree_of(scene.inputs, scene.working) == before
    assert {path.name for path in scene.working.parent.iterdir()} <= {"cwd", "out"}
    assert not [path for path in tree_of(scene.results) if ".tmp-" in path]
    return found


# What a command says, and with what exit status.

COMMANDS = {
    "ls": ("ls @plain", 0),
    "ls of some": ("ls @plain *", 0),
    "ls of an object graph": ("ls @objects re:.", 0),
    "ls of a preset": ("ls @objects norm", 0),
    "tree": ("ls --tree @objects", 0),
    "verify": ("verify @plain", 0),
    "verify of damage": ("verify @damaged", 1),
    "stats": ("stats @plain", 0),
    "stats of counts": ("stats @plain --counts --rule re:re=bfloat16", 0),
    "diff": ("diff @plain @other", 1),
    "diff of all": ("diff @plain @other --all --rtol 0.1", 1),
    "diff of names": ("diff @even @odd --all", 1),
    "diff of dtypes": ("diff @plain >half/plain --all", 3),
    "halve": ("halve @plain >a", 0),
    "halve of objects": ("halve @objects >a --optimizer drop", 0),
    "halve of some": ("halve @plain >a --keep re:0 --drop re:1", 0),
    "halve dry": ("halve @plain >a --dry-run", 0),
    "halve measured": ("halve @plain >a --measure", 0),
    "halve renamed": ("halve @plain >a --add-prefix ../../x/", 0),
    "halve mapped": ("halve @plain >a --map @map.json", 0),
    "halve alike": ("halve @plain >a --like @even", 0),
    "cast": ("cast @plain >a --to bfloat16", 0),
    "cast of integers": ("cast @plain >a --to int8 --from int64", 0),
    "merge": ("merge @even @odd >a", 0),
    "merge dry": ("merge @even @odd >a --dry-run", 0),
    "merge linked": ("merge @even @odd >a --link", 0),
    "average": ("average @plain @other >a", 0),
    "average dry": ("average @plain @other >a --dry-run", 0),
    "salvage": ("salvage @plain >a", 0),
    "salvage of damage": ("salvage @damaged >a", 1),
    "salvage dry": ("salvage @damaged >a --dry-run", 1),
}


@pytest.mark.parametrize("label", COMMANDS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_r12_every_verb_prints_hostile_names_safely(tfbundle: Command, scene: Scene, label: str, form: str) -> None:
    command, status = COMMANDS[label]
    arguments = scene.fill(command) + (["--json"] if form == "json" else [])
    found = _run(tfbundle, scene, *arguments)
    assert found.status == status, found.errors
    if form == "json" and status < 2:
        assert found.json
    elif status < 2:
        assert found.output


@pytest.mark.parametrize("verb", ["ls", "verify", "stats", "diff", "halve", "merge", "average", "salvage", "tree"])
def test_r12_in_a_locale_without_unicode(scene: Scene, verb: str) -> None:
    command, status = COMMANDS[verb]
    for encoding in ("ascii", None):
        arguments = scene.fill(command.replace(">a", f">{encoding}"))
        found, output, errors = run_tfbundle(*arguments, **PLAIN, PYTHONIOENCODING=encoding)
        assert (found, errors) == (status, "")
        assert output
        assert output.isascii()
        assert all(char.isprintable() for char in output.replace("\n", ""))


# One tensor by its name.


@pytest.mark.parametrize("label", NAMES)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_r12_show_and_set_of_one_tensor(tfbundle: Command, scene: Scene, label: str, form: list[str]) -> None:
    (name,) = texts([NAMES[label]])
    plain, new = str(scene.inputs / "plain"), str(scene.inputs / "new.npy")
    shown = _run(tfbundle, scene, "show", *form, "--", plain, name)
    assert shown.status == 0
    output = str(scene.results / "new")
    changed = _run(tfbundle, scene, "set", *form, "--output", output, "--", plain, name, new)
    assert changed.status == 0
    assert package.load(output)[name].tolist() == [0, 0, 0]
    if form:
        assert decode_json_name(shown.json["name"]) == decode_json_name(changed.json["name"]) == name
    else:
        assert len(changed.output.splitlines()) == 2  # and the note on the ``checkpoint`` file
        assert len(shown.output.splitlines()) == 2


def test_r12_show_of_hostile_strings(tfbundle: Command, scene: Scene) -> None:
    plain, name = str(scene.inputs / "plain"), "\x1b[1mstrings\n"
    assert len(_run(tfbundle, scene, "show", plain, name).output.splitlines()) == 1 + len(NAMES)
    values = _run(tfbundle, scene, "show", plain, name, "--json").json["value"]
    assert [decode_json_name(value).encode("utf-8", "surrogateescape") for value in values] == [*NAMES.values()]


# Names that come back.


def _names(found: list[dict[str, Any]], key: str = "name") -> list[str]:
    return [decode_json_name(item[key]) for item in found]


def test_r12_json_gives_names_back(tfbundle: Command, scene: Scene) -> None:
    def run(command: str) -> Any:
        return _run(tfbundle, scene, *scene.fill(command), "--json").json

    assert sorted(_names(run("ls @plain")["tensors"])) == sorted(EVERY)
    for command in ("halve @plain >a", "stats @plain"):
        assert sorted(_names(run(command)["tensors"])) == sorted(EVERY)
    assert {*_names(run("verify @damaged")["damages"], "tensor")} == {*texts()}
    assert {*_names(run("salvage @damaged >b")["lost"], "tensor")} == {*texts()}
    found = run("diff @plain @other")
    assert {*_names(found["values"])} == EVERY - {"\x1b[1mstrings\n"}
    found = run("diff @even @odd")
    assert {*map(decode_json_name, [*found["only_left"], *found["only_right"]])} == EVERY
    found = run("average @plain @other >c")
    assert [*map(decode_json_name, found["from_last"])] == ["\x1b[1mstep\n"]
    tree = run("ls --tree @objects")["objects"]
    local_names = {name for name in texts() if not _has_surrogates(name)}
    assert {*_names(tree[0]["children"])} >= local_names
    assert {*_names([value for node in tree for value in node["values"]], "key")} <= EVERY
    assert {*_names([slot for node in tree for slot in node["slots"]], "slot_name")} == local_names


def test_r12_what_is_written_has_the_same_names(tfbundle: Command, scene: Scene) -> None:
    for number, command in enumerate(
        ("halve @plain", "cast @plain --to bfloat16", "merge @even @odd", "average @plain @other", "salvage @plain")
    ):
        verb, *sources = command.split(" --")[0].split()
        options = command.partition(" --")[2]
        arguments = scene.fill(" ".join([verb, *sources, f">{number}"])) + (f"--{options}".split() if options else [])
        assert _run(tfbundle, scene, *arguments).status == 0
        assert {*package.open(scene.results / str(number))} == EVERY


def test_r12_nothing_is_named_after_a_tensor(tfbundle: Command, scene: Scene) -> None:
    for command in ("halve @objects >a --report >page.html", "merge @even @odd >b", "average @plain @other >c"):
        assert _run(tfbundle, scene, *scene.fill(command)).status == 0
    written = {path.name for path in scene.results.iterdir()}
    data = {f"{stem}.data-{shard:05d}-of-{count:05d}" for stem, count in (("a", 1), ("b", 2), ("c", 1)) for shard in
            range(count)}  # fmt: skip
    assert written == {"checkpoint", "page.html", "a.index", "b.index", "c.index", *data}


# Errors that carry a name, one of each kind.


def _write_refused(inputs: Path) -> None:
    """Write bundles and maps that verbs refuse, each for a reason that names a tensor."""
    evil, worse = NAMES["terminal title"], NAMES["line feed"] + NAMES["no UTF-8"]
    HandmadeBundle([floats(evil, [1e9]), floats(worse, [2e9]), floats(b"\t", [3e9])]).write(inputs / "large")
    HandmadeBundle([integers(evil, [1, 300]), integers(worse, [-400])]).write(inputs / "integers")
    HandmadeBundle([integers(evil, [1, 301]), integers(worse, [-400])]).write(inputs / "integers2")
    HandmadeBundle([floats(evil, [1, 2])]).write(inputs / "shape")
    HandmadeBundle([floats(evil, [1]), floats(worse + b"x", [1])]).write(inputs / "names")
    HandmadeBundle([HandmadeTensor(evil, 20, (), b""), HandmadeTensor(worse, 21, (), b"")]).write(inputs / "resource")
    HandmadeBundle([HandmadeTensor(evil, 99, (), b"")]).write(inputs / "unknown")
    HandmadeBundle([HandmadeTensor(evil, 1, (5,), b"1234")]).write(inputs / "size")
    HandmadeBundle([floats(evil, [1], shard=1)], 2).write(inputs / "shardless")
    (inputs / "shardless.data-00001-of-00002").unlink()
    part = bytes_field(7, bytes_field(1, varint_field(2, 1)))
    piece = HandmadeTensor(slice_key(b"\x1b[1m", ((0, 1),)), 1, (1,), b"1234")
    HandmadeBundle([HandmadeTensor(b"\x1b[1m", 1, (2,), b"", crc=0, extra=part), piece]).write(inputs / "gap")
    overlapping = [HandmadeTensor(evil, 1, (1,), b"1234"), HandmadeTensor(worse, 1, (1,), b"1234")]
    bundle = HandmadeBundle(overlapping)
    entries = {b"": bundle.header, evil: overlapping[0].placed(0), worse: overlapping[1].placed(2)}
    (inputs / "overlap.index").write_bytes(write_table(sorted(entries.items())))
    (inputs / "overlap.data-00000-of-00001").write_bytes(b"12345678")
    rows = [(b"", bundle.header), (worse, b"\xff"), (evil, b"")]
    (inputs / "unsorted.index").write_bytes(assemble_table([(worse, plain_block(rows))]))
    HandmadeBundle([string_scalar("_CHECKPOINTABLE_OBJECT_GRAPH", b"\x1b[1m\n"), floats(evil, [1])]).write(
        inputs / "graph"
    )
    np.save(inputs / "two.npy", np.zeros(2, np.float64))
    np.save(inputs / "three.npy", np.zeros(3, np.float64))
    (inputs / "unknown.json").write_text(json.dumps({"\x1b]0;x\x07": "b", "\udcff\n": "c"}))
    (inputs / "collide.json").write_text(json.dumps({evil.decode(): "\x1b[1m", "\t": "\x1b[1m"}))
    (inputs / "number.json").write_text(json.dumps({evil.decode(): 7}))
    (inputs / "twice.json").write_text('{"\\u001b[1m\\n": "a", "\\u001b[1m\\n": "b"}')
    (inputs / "broken.json").write_text('{"\x1b[1m": \n \x1b')
    (inputs / "nothing.json").write_text(json.dumps({evil.decode(): ""}))
    (inputs / "slice.json").write_text(json.dumps({evil.decode(): "\0\x1b[1m"}))


_EVIL = NAMES["terminal title"].decode()

REFUSALS: dict[str, tuple[int, str]] = {
    "overflow": (6, "halve @large >a"),
    "overflow of integers": (6, "cast @integers >a --to int8"),
    "damage": (4, "halve @damaged >a"),
    "damage in cast": (4, "cast @damaged >a --to bfloat16"),
    "damage in stats": (4, "stats @damaged"),
    "damage in merge": (4, "merge @damaged >a"),
    "damage in linked merge": (4, "merge @damaged >a --link"),
    "damage in average": (4, "average @damaged @plain >a"),
    "damage in diff": (4, "diff @damaged @plain"),
    "damage in set": (4, "set @damaged EVIL @new.npy --output >a"),
    "damage in show": (4, "show @damaged EVIL"),
    "no such tensor": (3, "show @plain EVILL"),
    "no such tensor to set": (3, "set @plain EVILL @new.npy"),
    "duplicates": (4, "merge @plain @plain >a"),
    "other names": (2, "average @large @names >a"),
    "other shapes": (2, "average @large @shape >a"),
    "integers that differ": (2, "average @integers @integers2 >a --integers agree"),
    "pattern": (2, "halve @plain >a --keep EVIL/x"),
    "expression": (2, "halve @plain >a --keep re:(EVIL"),
    "rule": (2, "halve @plain >a --rule EVIL=what"),
    "rename": (2, "halve @plain >a --rename EVIL/=x"),
    "collision": (2, "halve @plain >a --rename re:.*=\x1b[1m"),
    "prefix": (2, "halve @plain >a --strip-prefix EVIL/"),
    "map of unknown names": (2, "halve @plain >a --map @unknown.json"),
    "map of one name": (2, "halve @large >a --map @collide.json"),
    "map to a number": (2, "halve @plain >a --map @number.json"),
    "map of a name twice": (2, "halve @plain >a --map @twice.json"),
    "map that is no JSON": (2, "halve @plain >a --map @broken.json"),
    "map to nothing": (2, "halve @plain >a --map @nothing.json"),
    "map to a slice": (2, "halve @plain >a --map @slice.json"),
    "alike: missing": (2, "halve @large >a --like @plain"),
    "alike: rename": (2, "halve @large >a --like @names"),
    "alike: shape": (2, "halve @large >a --like @shape"),
    "other dtype": (2, "set @large EVIL @three.npy --output >a"),
    "other shape": (2, "set @large EVIL @two.npy --output >a --allow-dtype"),
    "resource": (5, "show @resource EVIL"),
    "unknown dtype": (4, "ls @unknown"),
    "size": (4, "show @size EVIL"),
    "missing shard": (3, "show @shardless EVIL"),
    "gap": (4, "show @gap \x1b[1m"),
    "overlap": (4, "halve @overlap >a"),
    "no order": (4, "ls @unsorted"),
    "object graph": (4, "halve @graph >a"),
    "object graph in ls": (0, "ls @graph re:."),
    "tree": (4, "ls --tree @graph"),
    "usage": (2, "ls @plain --EVIL"),
    "choice": (2, "halve @plain >a --optimizer EVIL"),
    "where": (2, "show @plain EVIL --where EVIL"),
    "number": (2, "halve @plain >a --jobs EVIL"),
    "size of shards": (2, "halve @plain >a --max-shard-size EVIL"),
    "verb": (2, "EVIL"),
}


@pytest.mark.parametrize("label", REFUSALS)
def test_r12_errors_are_one_printable_line(tfbundle: Command, scene: Scene, label: str) -> None:
    status, command = REFUSALS[label]
    arguments = [word.replace("EVIL", _EVIL) for word in scene.fill(command)]
    found = _run(tfbundle, scene, *arguments)
    assert found.status == status, found
    assert len(found.errors.splitlines()) == 1
    assert not scene.results.exists()
    if status:
        found.check_error(status)


@pytest.mark.parametrize("verb", ["verify", "salvage"])
@pytest.mark.parametrize(
    "name", ["unknown", "size", "gap", "overlap", "shardless", "unsorted", "large", "resource", "graph"]
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_r12_damage_is_told_in_printable_lines(
    tfbundle: Command, scene: Scene, verb: str, name: str, form: list[str]
) -> None:
    target = [str(scene.results / "a")] if verb == "salvage" else []
    found = _run(tfbundle, scene, verb, str(scene.inputs / name), *target, *form)
    assert found.status in (0, 1, 4)
    if form and found.status < 2:
        assert found.json


@pytest.mark.parametrize("label", ["overflow", "damage", "no such tensor", "pattern", "rename", "map of unknown names"])
def test_r12_tracebacks_are_printable_too(scene: Scene, label: str) -> None:
    _, command = REFUSALS[label]
    arguments = [word.replace("EVIL", _EVIL) for word in scene.fill(command)]
    found, output, errors = run_tfbundle(*arguments, "--debug")
    assert found
    assert not output
    assert "Traceback" in errors
    assert all(char.isprintable() for char in errors.replace("\n", "")), errors


# Keys that are no names, and names that are too long.


def test_r12_keys_that_look_like_slices(tfbundle: Command, scene: Scene) -> None:
    ending = slice_key(b"\x1b[1m", ((0, -1),)) + b"\n"
    for number, key in enumerate((slice_key(b"\x1b[1mw\n", ((0, 1),)), b"\0\x1b[1m", b"\0\x1b[1m\0\1", ending)):
        bundle = HandmadeBundle([floats(key, [1]), floats("\x1b[1m", [1])])
        source, target = bundle.write(scene.results / f"{number}"), str(scene.results / f"{number}-target")
        for command in (
            ["ls", source],
            ["ls", source, "--json"],
            ["verify", source],
            ["stats", source],
            ["show", source, key.decode("utf-8", "surrogateescape")],
            ["diff", source, str(scene.inputs / "plain")],
            ["halve", source, target],
            ["salvage", source, target],
        ):
            assert _run(tfbundle, scene, *command).status in (0, 1, 2, 3, 4), command


LONG_NAMES = {
    "one letter": b"w" * (1 << 20),
    "parts": b"a/" * (1 << 19) + b"Adam",
    "slashes": b"/" * (1 << 20) + b"/Adam",
    "digits": b"w/Adam_" + b"1" * (1 << 20) + b"x",
    "powers": b"/beta1_power_1" * (1 << 16),
    "optimizers": b"Adam/" * (1 << 17) + b"m",
    "words": b"BatchNorm_" * (1 << 16) + b"/gamma",
    "dots": b".S.." * (1 << 18),
    "a key": b"a/" * (1 << 19) + b".ATTRIBUTES/VARIABLE_VALUE",
    "controls": b"\x1b" * (1 << 20),
    "letters": "".join(chr(0x4E00 + number * number % 5003) for number in range(1 << 18)).encode(),
}


@pytest.mark.parametrize("label", LONG_NAMES)
def test_r12_name_of_a_megabyte(tfbundle: Command, scene: Scene, label: str) -> None:
    name = LONG_NAMES[label]
    source = HandmadeBundle([floats(name, [1e-9]), floats("w", [1])]).write(scene.results / "long")
    like = HandmadeBundle([floats(name + b"2", [1e-9]), floats("w", [1])]).write(scene.results / "longer")
    target = str(scene.results / "a")
    for command in (
        ["ls", source],
        ["ls", source, "*/*m*"],
        ["ls", source, "norm"],
        ["verify", source],
        ["stats", source],
        ["diff", source, like],
        ["show", source, "v"],
        ["halve", source, target, "--dry-run"],
        ["halve", source, target, "--like", like],
        ["halve", source, target, "--rename", "v=x"],
        ["average", source, source, target, "--dry-run"],
        ["merge", source, source, target],
        ["salvage", source, target, "--dry-run"],
    ):
        start = time.process_time()
        found = _run(tfbundle, scene, *command)
        assert time.process_time() - start < 10, command
        assert found.status in (0, 1, 2, 3, 4), found.errors[:300]
        assert len(found.errors) < 12_000


def test_r12_the_bundles_are_what_they_seem(scene: Scene) -> None:
    """The names above are those in the files, or this file tests nothing."""
    assert {*package.open(scene.inputs / "plain")} == EVERY
    assert {*package.open(scene.inputs / "objects")} == EVERY | BOOKKEEPING
    assert sum(not name.isprintable() for name in EVERY) > 25
    with pytest.raises(BundleError):
        package.load(scene.inputs / "damaged")
