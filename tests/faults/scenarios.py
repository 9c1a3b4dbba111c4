"""Commands that faults are thrown at, and the directories they work in.

Each has a source with three data files and more than one window in a tensor, and beside the target files of others:
another bundle whose name begins with the target's, one of its temporary files, and a text.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tfbundle
from tests.support.graphs import saver_graph
from tfbundle.pb import message_class
from tfbundle.streaming.layout import Layout

SOURCE, TARGET, GRAPH_TARGET = "source/model", "out/model", "out/graph/model"
MODEL, MODEL_TARGET = "source/saved", "out/saved"
_GRAPH_FILES = r"\.index|\.meta|\.data-[0-9]{5}-of-[0-9]{5}"

_SHARDS = (
    {"a/w": 300_000, "a/b": 5},
    {"b/w": 70, "b/b": 7},
    {"c/w": 900},
)


@dataclass(frozen=True)
class Scenario:
    """A command and where it runs.

    Attributes:
        name: for people.
        arguments: of ``tfbundle``; ``@`` stands for the directory.
        prepare: fills the directory, beyond the source.
        target: prefix of what it writes.
        takes_over: prefixes of what it may remove once the target is complete.
        again: what repeats the command when there is a target.
        is_repeatable: whether another run gives the same files.
        step_nbytes: as for ``Setting``.
        own: what may follow the prefix in the names of the target's files, as a regular expression.
        last: what follows it in the name of the file that appears last; where that is no index, and in no directory,
            there is no ``verify --finish``.
    """

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Path], None] = lambda root: None
    target: str = TARGET
    takes_over: tuple[str, ...] = ()
    again: tuple[str, ...] = ("--force",)
    is_repeatable: bool = True
    step_nbytes: int = 0
    own: str = r"\.index|\.data-[0-9]{5}-of-[0-9]{5}"
    last: str = ".index"

    @property
    def is_directory(self) -> bool:
        """Whether the target is a directory that appears as a whole."""
        return self.last.startswith("/")

    def build(self, root: Path) -> None:
        """Fill an empty directory."""
        write_source(root / SOURCE)
        self.prepare(root)

    def command(self, root: Path) -> list[str]:
        """Return the arguments for a directory."""
        return [argument.replace("@", str(root)) for argument in self.arguments]

    def repeated(self, root: Path) -> list[str]:
        """Return the arguments of a run after a fault."""
        command = self.command(root)
        return command + [option for option in self.again if option not in command]


def write_source(prefix: Path, seed: int = 3) -> None:
    """Write a bundle with three data files."""
    random = np.random.default_rng(seed)
    parts = []
    for number, sizes in enumerate(_SHARDS):
        tensors = {name: random.normal(size=size).astype(np.float32) for name, size in sizes.items()}
        parts.append(prefix.with_name(f"part-{number}"))
        tfbundle.save(parts[-1], {**tensors, f"step{number}": np.int64(number)})
    tfbundle.merge(parts, prefix, files="move")


def add_bystanders(root: Path) -> None:
    """Put files of others into the directory of the target."""
    folder = root / "out"
    folder.mkdir(exist_ok=True)
    (folder / "notes.txt").write_text("keep me")
    tfbundle.save(folder / "model-10", {"w": np.ones(3)})
    (folder / "model-10.index.tmp-1-0badcafe").write_bytes(b"of another run")
    (folder / "model.meta").write_bytes(b"graph")


def _add_old(root: Path, num_shards: int) -> None:
    add_bystanders(root)
    write_source(root / "old", seed=4)
    tfbundle.merge([root / "old"], root / TARGET, layout=Layout(shards=num_shards))
    for path in root.glob("old.*"):
        path.unlink()


def _add_graph(root: Path) -> None:
    """Put a graph beside the source."""
    (root / f"{SOURCE}.meta").write_bytes(_graph().SerializeToString())


def _graph() -> Any:
    names = [f"{letter}/{kind}" for letter in "abc" for kind in "wb" if f"{letter}{kind}" != "cb"]
    return saver_graph(*names)


def _add_model(root: Path) -> None:
    """Write a SavedModel, and beside the target what another run left of another one."""
    add_bystanders(root)
    write_source(root / MODEL / "variables" / "variables")
    message = message_class("SavedModel")(meta_graphs=[_graph()])
    (root / MODEL / "saved_model.pb").write_bytes(message.SerializeToString())
    _add_asset(root / MODEL, "words.txt")
    _add_asset(root / f"{MODEL_TARGET}-10.tmp-1-0badcafe" / "part", "words.txt")


def _add_model_and_old(root: Path) -> None:
    _add_model(root)
    tfbundle.save(root / MODEL_TARGET / "variables" / "variables", {"w": np.ones(3)})
    (root / MODEL_TARGET / "saved_model.pb").write_bytes(b"old")
    _add_asset(root / MODEL_TARGET, "older.txt")


def _add_asset(folder: Path, name: str) -> None:
    (folder / "assets" / "inner").mkdir(parents=True)
    (folder / "assets" / "inner" / name).write_text(name)


def _add_graph_and_old(root: Path) -> None:
    _add_graph(root)
    tfbundle.save(root / GRAPH_TARGET, {"w": np.ones(3)})
    (root / f"{GRAPH_TARGET}.meta").write_bytes(b"old")


def _add_old_of_two(root: Path) -> None:
    _add_old(root, 2)


def _add_old_of_three(root: Path) -> None:
    _add_old(root, 3)


def _add_second(root: Path) -> None:
    add_bystanders(root)
    tfbundle.save(root / "source/second", {"d/w": np.arange(50, dtype=np.float32)})


def _add_second_and_old(root: Path) -> None:
    _add_old(root, 2)
    tfbundle.save(root / "source/second", {"d/w": np.arange(50, dtype=np.float32)})


def _add_array(root: Path) -> None:
    add_bystanders(root)
    np.save(root / "array.npy", np.arange(5, dtype=np.float32))


def _move_in(root: Path) -> None:
    _add_array(root)
    for path in (root / "source").iterdir():
        shutil.copy(path, root / "out" / path.name)


def _add_twin(root: Path) -> None:
    add_bystanders(root)
    write_source(root / "source/second", seed=5)


def _damage(root: Path) -> None:
    add_bystanders(root)
    with (root / f"{SOURCE}.data-00001-of-00003").open("r+b") as file:
        file.write(b"????")


def _add_archive(root: Path) -> None:
    add_bystanders(root)
    _write_archive(root)


def _write_archive(root: Path) -> None:
    tensors: dict[str, Any] = {"a": np.arange(300_000, dtype=np.float32), "b": np.ones((3, 4)).T}
    np.savez_compressed(root / "source/array.npz", **tensors)


def _add_archive_and_old(root: Path) -> None:
    _add_old_of_two(root)
    _write_archive(root)


def _add_old_archive(root: Path) -> None:
    add_bystanders(root)
    np.savez(root / f"{TARGET}.npz", old=np.ones(5))


def _add_old_shards(root: Path) -> None:
    add_bystanders(root)
    tfbundle.save(root / "old", {"old": np.ones(5), "older": np.ones(5), "oldest": np.ones(5)})
    tfbundle.export(root / "old", root / f"{TARGET}.safetensors", files=tfbundle.ExportOptions(40))
    for path in root.glob("old.*"):
        path.unlink()


_HALVE = ("halve", f"@/{SOURCE}", f"@/{TARGET}", "--jobs", "1", "--quiet")
_HALVE_MODEL = ("halve", f"@/{MODEL}", f"@/{MODEL_TARGET}", "--jobs", "1", "--quiet")
_MERGE = ("merge", f"@/{SOURCE}", "@/source/second", f"@/{TARGET}", "--jobs", "1", "--quiet")
_SET = ("set", f"@/{TARGET}", "a/b", "@/array.npy", "--quiet")
_EXPORT = ("export", f"@/{SOURCE}", f"@/{TARGET}.npz", "--jobs", "1", "--quiet")
_SHARDED = ("export", f"@/{SOURCE}", f"@/{TARGET}.safetensors", "--max-shard-size", "1MB", "--jobs", "1", "--quiet")
_SAFETENSORS = r"(-[0-9]{5}-of-[0-9]{5})?\.safetensors(\.index\.json)?"
_IMPORT = ("import", "@/source/array.npz", f"@/{TARGET}", "--quiet")
_AVERAGE = ("average", f"@/{SOURCE}", "@/source/second", f"@/{TARGET}", "--quiet")

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("halve", _HALVE, add_bystanders),
        Scenario(
            "halve into new directories",
            tuple(word.replace("out/", "out/deep/") for word in _HALVE),
            target="out/deep/model",
        ),
        Scenario("halve --force", (*_HALVE, "--force"), _add_old_of_three),
        Scenario("halve --force, other shards", (*_HALVE, "--force"), _add_old_of_two),
        Scenario(
            "halve with its graph",
            (*_HALVE[:2], f"@/{GRAPH_TARGET}", *_HALVE[3:]),
            _add_graph,
            target=GRAPH_TARGET,
            own=_GRAPH_FILES,
        ),
        Scenario(
            "halve --force with its graph",
            (*_HALVE[:2], f"@/{GRAPH_TARGET}", *_HALVE[3:], "--force"),
            _add_graph_and_old,
            target=GRAPH_TARGET,
            own=_GRAPH_FILES,
        ),
        Scenario(
            "halve a SavedModel",
            _HALVE_MODEL,
            _add_model,
            target=MODEL_TARGET,
            own="(/.*)?",
            last="/saved_model.pb",
        ),
        Scenario(
            "halve --force a SavedModel",
            (*_HALVE_MODEL, "--force"),
            _add_model_and_old,
            target=MODEL_TARGET,
            own="(/.*)?",
            last="/saved_model.pb",
        ),
        Scenario("halve, refused", _HALVE, _add_old_of_three),
        Scenario("halve --jobs 2", (*_HALVE, "--jobs", "2"), add_bystanders, step_nbytes=100_000),
        Scenario("halve --force --jobs 2", (*_HALVE, "--jobs", "2", "--force"), _add_old_of_two, step_nbytes=100_000),
        Scenario("merge", _MERGE, _add_second),
        Scenario("merge --force", (*_MERGE, "--force"), _add_second_and_old),
        Scenario("merge --link", (*_MERGE, "--link"), _add_second),
        Scenario("merge --move", (*_MERGE, "--move"), _add_second, takes_over=(SOURCE, "source/second")),
        Scenario("set", _SET, _move_in, again=(), is_repeatable=False),
        Scenario("set --output", (*_SET[:1], f"@/{SOURCE}", *_SET[2:], "--output", f"@/{TARGET}"), _add_array),
        Scenario("average", _AVERAGE, _add_twin),
        Scenario("salvage", ("salvage", *_HALVE[1:]), _damage),
        Scenario("cast", ("cast", *_HALVE[1:], "--to", "bfloat16"), add_bystanders),
        Scenario("export", _EXPORT, add_bystanders, own=r"\.npz", last=".npz"),
        Scenario("export --force", (*_EXPORT, "--force"), _add_old_archive, own=r"\.npz", last=".npz"),
        Scenario(
            "export --force, several files",
            (*_SHARDED, "--force"),
            _add_old_shards,
            own=_SAFETENSORS,
            last=".safetensors.index.json",
        ),
        Scenario("import", _IMPORT, _add_archive),
        Scenario("import --force", (*_IMPORT, "--force"), _add_archive_and_old),
    )
}
