"""The README's examples, run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tfbundle.cli import name_map, status
from tfbundle.cli.parser import VERBS
from tfbundle.conversion import companion
from tfbundle.exporters import npy_frame, safetensors_frame, safetensors_header, zip_directory
from tfbundle.format import entries, extents, index, meta_graph, npy, state, varints
from tfbundle.graph import wire
from tfbundle.sstable import block as table_block
from tfbundle.sstable import snappy
from tfbundle.storage import buffers, remote_file

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


LIMITS = {
    "data files of a checkpoint": entries.MAX_NUM_SHARDS,
    "dimensions of a tensor": entries._MAX_RANK,
    "elements of a tensor": entries._MAX_ELEMENTS,
    "what a compressed block of an index may expand to": snappy._MAX_EXPANSION,
    "bytes of a varint": varints.MAX_VARINT_NBYTES,
    "block of an index": index.MAX_BLOCK_NBYTES,
    "what keys that share their beginnings may expand to": table_block.MAX_KEY_EXPANSION,
    "payloads over the same bytes, where they are read at all": extents.MAX_OVERLAP,
    "`checkpoint` file": state.MAX_STATE_NBYTES,
    "graph (`.meta`, `saved_model.pb`, frozen `.pb`)": meta_graph.MAX_GRAPH_NBYTES,
    "graphs in a SavedModel": companion.MOST_GRAPHS,
    "fields side by side in a message of a graph, such as nodes": wire.MOST_FIELDS,
    "`--map` file": name_map._MOST_NBYTES,
    "header of a `.npy` file": npy.MAX_HEADER_NBYTES,
    "header of a safetensors file": safetensors_header.MAX_HEADER_NBYTES,
    "index of safetensors files": safetensors_frame.MAX_INDEX_NBYTES,
    "list in a directory of `.npy` files": npy_frame.MAX_LIST_NBYTES,
    "directory of a `.npz` archive": zip_directory.MAX_DIRECTORY_NBYTES,
    "what a compressed member of a `.npz` archive may expand to": zip_directory.MAX_DEFLATE_EXPANSION,
    "window in which tensors are read and written": buffers.WINDOW_NBYTES,
    "request for a part of a remote file": remote_file.PIECE_NBYTES,
    "an error, whatever names it holds": status._MOST_CHARACTERS,
}
_PLAIN_UNITS = ("", "bytes", "times its size", "times their block", "characters")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, **dict.fromkeys(_PLAIN_UNITS, 1)}


def test_limits_are_those_of_the_code() -> None:
    _, _, section = README.partition("\n## Security and limits\n")
    rows = re.findall(r"^\| (.+) \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert {label: _number(value) for label, value in rows} == LIMITS


def _number(text: str) -> int:
    """Return what is meant by ``1 MiB``, ``100,000`` or ``2^63 - 1``."""
    match = re.fullmatch(r"([\d,]+)(?:\^(\d+) - 1)?(?: (\D+))?", text)
    assert match, text
    number = int(match[1].replace(",", ""))
    return (number ** int(match[2]) - 1 if match[2] else number) * UNITS[match[3] or ""]


def test_promise_stands_where_it_is_looked_for() -> None:
    assert "returns the stored tensors or raises `BundleError`" in README
    assert "\n## Security and limits\n" in README


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section(verb: str) -> None:
    assert f"\n### {verb}: " in README
