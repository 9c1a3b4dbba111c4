from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.naming import (
    data_filename,
    index_filename,
    key_to_name,
    name_to_key,
    parse_data_filename,
    parse_data_suffix,
    parse_v1_shard,
    strip_data_suffix,
)


@pytest.mark.parametrize(
    ("prefix", "shard_id", "num_shards", "path"),
    [
        ("ckpt-7", 0, 1, "ckpt-7.data-00000-of-00001"),
        ("dir/", 1, 2, "dir/.data-00001-of-00002"),
        ("a.b-1", 99999, 100000, "a.b-1.data-99999-of-100000"),
        ("big", 123456, 200000, "big.data-123456-of-200000"),
    ],
)
def test_shard_paths(prefix: str, shard_id: int, num_shards: int, path: str) -> None:
    assert data_filename(prefix, shard_id, num_shards) == path
    assert strip_data_suffix(path) == prefix


@pytest.mark.parametrize(
    "path",
    ["m.data-000001-of-00002", "m.data-00002-of-00002", "m.data-00000-of-00000", "m.data-00000-of-00001.tmp", "m"],
)
def test_paths_that_no_shard_has(path: str) -> None:
    assert parse_data_filename(path) is None
    assert parse_data_filename("a-of-b.data-100000-of-100001") == ("a-of-b", 100_000, 100_001)


def test_index_path() -> None:
    assert index_filename("dir/ckpt-7") == "dir/ckpt-7.index"
    assert index_filename("dir/") == "dir/.index"


@given(st.text(), st.integers(0, 200_000), st.integers(1, 200_000))
def test_prefix_comes_back_from_a_shard_path(prefix: str, shard_id: int, num_shards: int) -> None:
    assert strip_data_suffix(data_filename(prefix, shard_id, num_shards)) == prefix
    assert parse_data_suffix(data_filename(prefix, shard_id, num_shards)) == num_shards


@pytest.mark.parametrize(
    "path",
    [
        "ckpt-7",
        "ckpt-7.index",
        "ckpt.data-0000-of-0001",
        "ckpt.data-00000-of-00001.tmp-1-abc",
        "ckpt.data-00000-of-00001.tempstate123",
        "ckpt-00000-of-00001",
        "ckptdata-00000-of-00001",
        "ckpt.data-00000-of-00001\n",
        "ckpt.data-" + "\u0660" * 5 + "-of-00001",  # digits, but not those of the format
        "ckpt.data-00000-of-" + "\u0661" * 5,
        "",
    ],
)
def test_what_is_no_shard(path: str) -> None:
    assert strip_data_suffix(path) is None
    assert parse_data_suffix(path) is None


def test_shard_name_of_a_shard_name() -> None:
    assert strip_data_suffix("a.data-00000-of-00001.data-00000-of-00002") == "a.data-00000-of-00001"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("export-00000-of-00001", True),
        ("model.ckpt-7-00001-of-00012", True),
        ("model.ckpt-7", False),
        ("model.data-00000-of-00001", False),
        ("export-0000-of-0001", False),
        ("export-00000-of-00001.index", False),
    ],
)
def test_v1_shards(path: str, expected: bool) -> None:
    assert (parse_v1_shard(path)[1] is not None) is expected


@given(st.binary())
def test_any_key_has_a_name_that_leads_back(key: bytes) -> None:
    assert name_to_key(key_to_name(key)) == key


@given(st.text())
def test_text_names_are_utf8(name: str) -> None:
    assert name_to_key(name) == name.encode("utf-8")
    assert key_to_name(name.encode("utf-8")) == name


def test_bytes_that_are_no_utf8_stay_visible() -> None:
    assert key_to_name(b"w\xff/b") == "w\udcff/b"


@pytest.mark.parametrize("count", ["100001", "1000000", "9" * 5000])
def test_more_shards_than_there_may_be(count: str) -> None:
    assert parse_v1_shard(f"m-00000-of-{count}") == (f"m-00000-of-{count}", None)
    assert parse_v1_shard("m-?????-of-100000") == ("m", 100_000)
