from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tfbundle.choosing.decisions import Decision
from tfbundle.choosing.likeness import decide_like
from tfbundle.choosing.names import TensorNames
from tfbundle.choosing.naming import Naming
from tfbundle.errors import BundleNotFoundError


def decide(source: Path, template: Path, naming: Naming = Naming()) -> dict[str, Decision]:
    with tfbundle.open(source) as bundle:
        decisions = decide_like(bundle, TensorNames(list(bundle)), naming, str(template))
        return dict(zip(bundle, decisions, strict=True))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tensors: dict[str, Any] = {"a/w": np.ones((2, 3), np.float32), "a/b": np.ones(3, np.float32), "step": np.int64(7)}
    tfbundle.save(tmp_path / "source", tensors)
    return tmp_path / "source"


def test_cast_copy_and_drop(source: Path, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "template", {"a/w": np.ones((2, 3), np.float16), "step": np.int64(0)})
    assert decide(source, tmp_path / "template") == {
        "a/b": Decision("drop", "not in --like"),
        "a/w": Decision("cast", "float32", 19),
        "step": Decision("copy", "int64"),
    }


def test_new_names_are_compared(source: Path, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "template", {"n/w": np.ones((2, 3)), "n/b": np.ones(3, np.float32)})
    assert decide(source, tmp_path / "template", Naming(rename=(("a/", "n/"),))) == {
        "a/b": Decision("copy", "float32"),
        "a/w": Decision("cast", "float32", 2),
        "step": Decision("drop", "not in --like"),
    }
    with pytest.raises(ValueError, match=r"wants 2 tensors .* lacks: n/b, n/w \(--rename a/=n/ would make them\)"):
        decide(source, tmp_path / "template")


def test_map_leaves_out_before_the_template_does(source: Path, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "template", {"x": np.ones(3, np.float32)})
    found = decide(source, tmp_path / "template", Naming(map={"a/b": "x", "a/w": "y"}))
    assert {name: decision.reason for name, decision in found.items()} == {
        "a/b": "float32",
        "a/w": "not in --like",
        "step": "not in --map",
    }


def test_partitioned_template_wants_whole_tensors(source: Path, tmp_path: Path) -> None:
    with tfbundle.create(tmp_path / "template") as writer:
        for row in range(2):
            part = np.ones((1, 3), np.float16)
            writer.add_slice("a/w", part, shape=(2, 3), extents=((row, 1), (0, -1)))
    assert decide(source, tmp_path / "template")["a/w"] == Decision("cast", "float32", 19)


def test_no_template(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        decide(source, tmp_path / "none")
