"""Dictionaries of names are in the order of TensorFlow's hash table, whatever its size and the lengths of the names."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tfbundle.compat.hash_order import hash_name, hash_names, order_names


def make_names(count: int) -> list[str]:
    """Return names of all lengths, most of them several times, in ascending order."""
    chance = random.Random(count)
    letters = "abcdefgh/_0123\xe4\u20ac"
    names = {"".join(chance.choices(letters, k=chance.randint(1, 40))) for _ in range(2 * count)}
    return sorted(sorted(names)[:count], key=str.encode)


@pytest.mark.parametrize("count", [1, 12, 13, 14, 28, 29, 30, 59, 60, 128, 600, 2500, 6000])
def test_order_is_that_of_tensorflow(count: int, tmp_path: Path) -> None:
    tf = tensorflow()
    names = make_names(count)
    assert len(names) == count
    prefix = str(tmp_path / "m")
    tfbundle.save(prefix, {name: np.float32(0) for name in names})
    theirs = list(tf.train.load_checkpoint(prefix).get_variable_to_shape_map())
    assert theirs == [name.decode() for name in order_names([name.encode() for name in names])]


def test_order_of_another_order_is_another() -> None:
    names = [name.encode() for name in make_names(30)]
    assert sorted(order_names(names)) == names
    assert order_names(names) != order_names(names[::-1])


def test_hashes_of_many_are_those_of_each() -> None:
    chance = random.Random(0)
    names = [chance.randbytes(length) for length in (*range(1, 33), 1000) for _ in range(10)]
    chance.shuffle(names)
    assert hash_names(names).tolist() == [hash_name(name) for name in names]


def test_no_names() -> None:
    assert order_names([]) == []
    assert order_names([b""]) == [b""]
