from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import HandmadeBundle, floats
from tfbundle import FormatError
from tfbundle.blending.alike import check_alike


def check(*prefixes: Path) -> None:
    with ExitStack() as stack:
        check_alike([stack.enter_context(tfbundle.open(prefix)) for prefix in prefixes])


def save(prefix: Path, **tensors: Any) -> Path:
    tfbundle.save(prefix, tensors)
    return prefix


def test_values_and_partitions_do_not_matter(tmp_path: Path) -> None:
    first = save(tmp_path / "1", w=np.ones((2, 3)), s=np.array([b"long", b"longer"]))
    with tfbundle.create(tmp_path / "2") as writer:
        writer.add("s", np.array([b"", b"x"]))
        writer.add_slice("w", np.zeros((1, 3)), shape=(2, 3), extents=((0, 1), (0, -1)))
        writer.add_slice("w", np.zeros((1, 3)), shape=(2, 3), extents=((1, 1), (0, -1)))
    check(first, tmp_path / "2", first)


def test_first_of_many_differences(tmp_path: Path) -> None:
    first = save(tmp_path / "1", **{f"a{number}": np.float32(1) for number in range(5)}, both=np.ones(2, np.int32))
    second = save(tmp_path / "2", b=np.float32(1), both=np.ones((1, 2)))
    with pytest.raises(ValueError, match="do not hold the same tensors") as caught:
        check(first, second)
    text = str(caught.value)
    assert f"only {first} has a0, a1, a2 and 2 more; only {second} has b; " in text
    assert text.endswith("both is int32 [2] in the first, float64 [1,2] in the second")


def test_any_of_many_is_compared(tmp_path: Path) -> None:
    good, bad = save(tmp_path / "1", w=np.float32(1)), save(tmp_path / "2", w=np.float64(1))
    check(good, good, good)
    for order in ((bad, good, good), (good, bad, good), (good, good, bad)):
        with pytest.raises(ValueError, match="w is float"):
            check(*order)


def test_damaged_entry(tmp_path: Path) -> None:
    good = save(tmp_path / "1", w=np.float32(1))
    HandmadeBundle([floats("w", 1, extra=b"\x08\x63")]).write(tmp_path / "2")
    with pytest.raises(FormatError, match=r"2\.index: tensor 'w': unknown dtype 99"):
        check(good, tmp_path / "2")
