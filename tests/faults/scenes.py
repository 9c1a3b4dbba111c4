"""Commands that faults strike, and what may be there afterwards: the old bundle, none, or the new one."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.support.handmade import HandmadeBundle, files_of, floats, integers, strings
from tfbundle.cli import main

Files = Mapping[str, bytes]

TEMPORARY = re.compile(r"(?P<path>.+)\.tmp-[0-9]+-[0-9a-f]{8}\Z")
STATE = "checkpoint"


def _bundle(seed: int, num_shards: int, prefix: str = "") -> HandmadeBundle:
    """Return a bundle that takes several windows, over some shards; the seed changes every number."""
    rng = np.random.default_rng(seed)
    wide = rng.standard_normal((300, 1000)).astype(np.float32)
    tensors = [
        floats(f"{prefix}dense/kernel", wide),
        floats(f"{prefix}dense/bias", rng.standard_normal(1000), shard=num_shards - 1),
        integers(f"{prefix}step", [seed], shard=num_shards // 2),
        strings(f"{prefix}labels", [b"%d" % seed, b"dog"], shard=num_shards - 1),
    ]
    return HandmadeBundle(tensors, num_shards)


LEFT, RIGHT = _bundle(1, 2), _bundle(2, 1, "right/")


@dataclass(frozen=True)
class Scene:
    """A command, and what is there before it.

    Attributes:
        name: what it is called.
        arguments: of the command; ``{root}`` is the directory of the scene.
        target: prefix of the bundle that is made or changed, below the directory.
        old: what is at the target before, if anything.
    """

    name: str
    arguments: tuple[str, ...]
    target: str = "out/model"
    old: HandmadeBundle | None = None

    def prepare(self, root: Path) -> None:
        """Make the directory what it is before the command."""
        for directory in ("src", "out"):
            shutil.rmtree(root / directory, ignore_errors=True)
        LEFT.write(root / "src/left")
        RIGHT.write(root / "src/right")
        np.save(root / "src/bias.npy", np.arange(1000, dtype=np.float32))
        if self.old:
            self.old.write(root / self.target)

    def command(self, root: Path) -> list[str]:
        """Return the command's arguments."""
        return [argument.format(root=root) for argument in self.arguments]


OUT = "{root}/out/model"
_FORCE = ("--force", "--jobs", "1")
_INPUTS = ("{root}/src/left", "{root}/src/right")

SCENES = {
    scene.name: scene
    for scene in (
        Scene("halve", ("halve", "{root}/src/left", "{root}/out/deep/er/model"), "out/deep/er/model"),
        Scene("force", ("halve", "{root}/src/left", OUT, *_FORCE), old=_bundle(8, 2)),
        Scene("force-other-shards", ("halve", "{root}/src/left", OUT, *_FORCE), old=_bundle(8, 3)),
        Scene("merge", ("merge", *_INPUTS, OUT)),
        Scene("merge-force", ("merge", *_INPUTS, OUT, "--force"), old=_bundle(8, 3)),
        Scene("merge-link", ("merge", *_INPUTS, OUT, "--link")),
        Scene("merge-link-force", ("merge", *_INPUTS, OUT, "--link", "--force"), old=_bundle(8, 3)),
        Scene("set", ("set", OUT, "dense/bias", "{root}/src/bias.npy"), old=_bundle(8, 2)),
        Scene("set-output", ("set", "{root}/src/left", "dense/bias", "{root}/src/bias.npy", "--output", OUT)),
    )
}


def run(arguments: list[str]) -> tuple[int, str]:
    """Run a command in this process; return its exit status and what it printed to standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
    return status, errors.getvalue()


class Expected(NamedTuple):
    """The files of a scene below its directory, before and after."""

    before: Files
    after: Files


def expect(scene: Scene, root: Path) -> Expected:
    """Prepare a scene and run its command without any fault."""
    scene.prepare(root)
    before = files_of(root)
    status, errors = run(scene.command(root))
    assert status == 0, errors
    return Expected(before, files_of(root))


def judge(scene: Scene, expected: Expected, found: Files) -> str:
    """Say what is at a scene's target: ``old``, ``none``, ``staged``, ``new``; or ``WRONG``, and why.

    Args:
        scene: which.
        expected: what ``expect`` returned.
        found: every file below the directory.
    """
    for path, contents in expected.before.items():
        if path.startswith("src/") and found.get(path) != contents:
            return f"WRONG: the source {path} changed"
    foreign = [path for path in found if not _belongs(scene, path)]
    if foreign:
        return f"WRONG: {foreign[0]} is nobody's"
    state = _judge_bundle(scene, expected, found)
    if state != "new" and _names_target(scene, found):
        return f"WRONG: {STATE} names the bundle, which is {state}"
    return state


def _belongs(scene: Scene, path: str) -> bool:
    temporary = TEMPORARY.fullmatch(path)
    path = temporary["path"] if temporary else path
    state = str(Path(scene.target).with_name(STATE))
    return path.startswith(("src/", f"{scene.target}.index", f"{scene.target}.data-")) or path == state


def _judge_bundle(scene: Scene, expected: Expected, found: Files) -> str:
    old, new = (_bundle_files(scene, files) for files in expected)
    index = found.get(f"{scene.target}.index")
    if index is None:
        if not old or all(_is_staged(path, contents, found) for path, contents in new.items()):
            return "staged" if old else "none"
        return "WRONG: the old index is gone, and the new files are not complete"
    for name, files in (("new", new), ("old", old)):
        if files and index == files[f"{scene.target}.index"]:
            wrong = [path for path, contents in files.items() if found.get(path) != contents]
            return f"WRONG: {name} index, but {wrong[0]} is not its" if wrong else name
    return f"WRONG: the index of {len(index)} bytes is neither the old nor the new one"


def _bundle_files(scene: Scene, files: Files) -> Files:
    prefixes = (f"{scene.target}.index", f"{scene.target}.data-")
    return {path: contents for path, contents in files.items() if path.startswith(prefixes)}


def _is_staged(path: str, contents: bytes, found: Files) -> bool:
    """Tell whether a file of the new bundle is there, under its own or a temporary name."""
    names = [name for name in found if (match := TEMPORARY.fullmatch(name)) and match["path"] == path]
    return any(found.get(name) == contents for name in (path, *names))


def _names_target(scene: Scene, found: Files) -> bool:
    state = found.get(str(Path(scene.target).with_name(STATE)), b"")
    return Path(scene.target).name.encode() in state


Rerun = Callable[[Scene, Path], tuple[int, str]]


def run_again(scene: Scene, root: Path) -> tuple[int, str]:
    """Run a scene's command once more, over whatever is there."""
    arguments = scene.command(root)
    return run(arguments if scene.name == "set" or "--force" in arguments else [*arguments, "--force"])
