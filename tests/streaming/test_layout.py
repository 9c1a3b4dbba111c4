from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.streaming.layout import Layout, parse_nbytes


def assign(layout: Layout, sizes: list[int]) -> tuple[list[int], int]:
    """Lay out payloads that are all in one shard."""
    shards, num_shards = layout.assign(np.array(sizes, np.int64), np.zeros(len(sizes), np.int32), 1)
    return shards.tolist(), num_shards


SIZES = st.lists(st.integers(0, 1000), max_size=30)


@given(SIZES, st.integers(1, 8))
def test_number_of_shards(sizes: list[int], num_shards: int) -> None:
    shards, count = assign(Layout(shards=num_shards), sizes)
    assert count == num_shards
    assert shards == sorted(shards)
    assert all(0 <= shard < num_shards for shard in shards)


def test_shards_are_about_equal() -> None:
    shards, _ = assign(Layout(shards=4), [10] * 100)
    assert [shards.count(number) for number in range(4)] == [25, 25, 25, 25]


@given(SIZES, st.integers(1, 1500))
def test_largest_size_is_kept_unless_one_tensor_exceeds_it(sizes: list[int], limit: int) -> None:
    shards, count = assign(Layout(max_shard_nbytes=limit), sizes)
    assert shards == sorted(shards)
    assert set(shards) == set(range(count)) or not sizes
    for number in range(count):
        held = [size for size, shard in zip(sizes, shards, strict=True) if shard == number and size]
        assert sum(held) <= limit or len(held) == 1


def test_default_leaves_everything_where_it_is() -> None:
    current = np.array([1, 0, 1], np.int32)
    shards, num_shards = Layout().assign(np.array([1, 2, 3], np.int64), current, 2)
    assert (shards.tolist(), num_shards) == ([1, 0, 1], 2)


@pytest.mark.parametrize(
    ("text", "nbytes"), [("2GB", 2 * 10**9), ("512MiB", 512 << 20), ("1.5 kB", 1500), ("7", 7), ("3TiB", 3 << 40)]
)
def test_sizes(text: str, nbytes: int) -> None:
    assert parse_nbytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "GB", "2XB", "-2GB", "1e3", "2 GB or so"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_nbytes(text)


def test_size_beyond_all_numbers() -> None:
    with pytest.raises(ValueError, match="so many digits"):
        parse_nbytes("9" * 300 + "TB")


@pytest.mark.parametrize(
    "options", [{"slices": "melt"}, {"shards": 0}, {"max_shard_nbytes": 0}, {"shards": 2, "max_shard_nbytes": 5}]
)
def test_impossible_layouts(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"slices is|too small|cannot both"):
        Layout(**options)  # type: ignore[arg-type]
