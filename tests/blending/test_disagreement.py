from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tfbundle.blending.blend import Difference
from tfbundle.blending.disagreement import check_agreement, describe_difference, difference_notes
from tfbundle.format.naming import OBJECT_GRAPH_KEY


@pytest.fixture
def bundles(tmp_path: Path) -> list[Any]:
    for number in (1, 2):
        tensors: dict[str, Any] = {f"n{at}": np.int64(number) for at in range(8)}
        tensors["table"] = np.full((2, 3), number, np.int16)
        tensors["text"] = np.array([b"same", b"x" * 99 * number], object)
        tensors["long"] = np.array([b"x" * (number << 20)], object)
        tensors[OBJECT_GRAPH_KEY.decode()] = np.array(b"graph", object)
        tfbundle.save(tmp_path / f"{number}", tensors)
    return [tfbundle.open(tmp_path / f"{number}") for number in (1, 2)]


def test_place_and_values(bundles: list[Any], tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    found = describe_difference(bundles, b"table", Difference(0, 9))
    assert found == f"tensor 'table' (int16) at [1, 1] is 1 in {first} and 2 in {second}"
    found = describe_difference(bundles, b"text", Difference(0))
    assert f"at [1] is b'{'x' * 58}… (99 bytes) in {first} and b'x" in found
    found = describe_difference(bundles, b"long", Difference(0))
    assert found == f"tensor 'long' (string) is not the same in {first} and {second}"


def test_notes_stay_few(bundles: list[Any]) -> None:
    notes = difference_notes(bundles, {f"n{at}".encode(): Difference(0, 0) for at in range(8)})
    assert len(notes) == 6
    assert notes[0].startswith("tensor 'n0' (int64) is 1 in ")
    assert notes[-1] == "3 more tensors differ and were taken from the last"


def test_object_graphs_need_not_agree(bundles: list[Any]) -> None:
    differences = {OBJECT_GRAPH_KEY: Difference(0)}
    check_agreement(bundles, differences)
    assert difference_notes(bundles, differences)[0].startswith("the object graph is not the same in ")
    with pytest.raises(ValueError, match=r"'n1' \(int64\) is 1 in .* \(and 1 more\); --integers last"):
        check_agreement(bundles, {**differences, b"n2": Difference(0, 0), b"n1": Difference(0, 0)})
