from __future__ import annotations

import numpy as np
import pytest

from tfbundle.casting.casters import FLOATS, INTEGERS, can_cast
from tfbundle.choosing.castable import Cast, can_stitch, describe_limits, is_lossless, usual_sources


@pytest.mark.parametrize("source", INTEGERS)
@pytest.mark.parametrize("target", INTEGERS)
def test_lossless_integers_are_those_of_numpy(source: str, target: str) -> None:
    assert is_lossless(source, target) == np.can_cast(source, target)


@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
@pytest.mark.parametrize("target", ["float16", "float32", "float64"])
def test_lossless_floats_are_those_of_numpy(source: str, target: str) -> None:
    assert is_lossless(source, target) == np.can_cast(source, target)


def test_bfloat16_and_float16_hold_what_the_other_does_not() -> None:
    assert not is_lossless("float16", "bfloat16")  # precision
    assert not is_lossless("bfloat16", "float16")  # range
    assert is_lossless("bfloat16", "float32")


def test_limits_are_those_of_numpy() -> None:
    for name in ("float16", "float32", "float64"):
        assert describe_limits(name) == f"a maximum of {np.finfo(name).max:.9g}"
    for name in INTEGERS:
        assert describe_limits(name) == f"a range of {np.iinfo(name).min} to {np.iinfo(name).max}"
    assert describe_limits("bfloat16") == f"a maximum of {np.array(0x7F7F0000, np.uint32).view(np.float32):.9g}"


@pytest.mark.parametrize("target", [*FLOATS, *INTEGERS])
def test_usual_sources_can_be_cast(target: str) -> None:
    sources = usual_sources(target)
    assert sources
    assert all(can_cast(source, target) for source in sources)
    assert target not in sources
    assert "float64" not in sources


def test_what_cannot_be_stitched() -> None:
    """``tests/interop/test_cast.py`` asks TensorFlow."""
    assert [name for name in (*FLOATS, *INTEGERS) if not can_stitch(name)] == ["float16", "uint16", "uint32", "uint64"]


def test_sizes() -> None:
    cast = Cast(2, 19)  # float64, float16
    assert (cast.source_nbytes, cast.target_nbytes, cast.resize(80), cast.resize(0)) == (8, 2, 20, 0)
