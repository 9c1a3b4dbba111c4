from __future__ import annotations

import os
from pathlib import Path

import pytest

import tfbundle
from tests.support.bundles import entry_of, write_bundle
from tests.support.handmade import FLOAT32, HandmadeBundle, floats
from tests.support.wire import shape_proto
from tfbundle import BundleNotFoundError, FormatError
from tfbundle.conversion.regroup import regroup
from tfbundle.storage.local import LocalStorage

BUNDLE = HandmadeBundle([floats("a", [1], shard=0), floats("b", [2], shard=1), floats("c", [3], shard=2)], 3)


def test_nothing_changes_where_nothing_must(tmp_path: Path) -> None:
    with tfbundle.open(BUNDLE.write(tmp_path / "m")) as bundle:
        index, files = regroup(bundle, bundle.index.rows)
        assert index.rows == bundle.index.rows
        assert [file.path for file in files] == [bundle.shards.path(number) for number in range(3)]
        index, files = regroup(bundle, {b"b": bundle.index.rows[b"b"]})
        assert (index.rows, len(files)) == ({b"b": bundle.index.rows[b"b"]}, 3)


def test_missing_files_are_not_counted(tmp_path: Path) -> None:
    prefix = BUNDLE.write(tmp_path / "m")
    os.remove(f"{prefix}.data-00001-of-00003")
    with tfbundle.open(prefix) as bundle:
        index, files = regroup(bundle, {key: bundle.index.rows[key] for key in (b"a", b"c")})
        assert [file.path for file in files] == [bundle.shards.path(0), bundle.shards.path(2)]
        assert (index.header.num_shards, index[b"a"].shard_id, index[b"c"].shard_id) == (2, 0, 1)


def test_missing_file_that_is_needed_is_told(tmp_path: Path) -> None:
    prefix = BUNDLE.write(tmp_path / "m")
    os.remove(f"{prefix}.data-00001-of-00003")
    with tfbundle.open(prefix) as bundle, pytest.raises(BundleNotFoundError, match="shard 1 of 3"):
        regroup(bundle, bundle.index.rows)


def test_files_that_are_needed_are_opened_whether_listed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory may let files be opened and not be listed."""
    with tfbundle.open(BUNDLE.write(tmp_path / "m")) as bundle:
        monkeypatch.setattr(LocalStorage, "list_directory", lambda storage, path: [])
        index, files = regroup(bundle, {key: bundle.index.rows[key] for key in (b"a", b"c")})
        assert [file.path for file in files] == [bundle.shards.path(0), bundle.shards.path(2)]
        assert [index[key].shard_id for key in index] == [0, 1]


def write_overlaps(prefix: Path, offsets: list[int], nbytes: int = 8) -> str:
    data = bytes(range(64))
    names = [f"w{number}".encode() for number in range(len(offsets))]
    rows = {
        name: entry_of(FLOAT32, shape_proto(nbytes // 4), data[offset : offset + nbytes], offset)
        for name, offset in zip(names, offsets, strict=True)
    }
    write_bundle(str(prefix), rows, [data])
    return str(prefix)


@pytest.mark.parametrize(
    ("offsets", "shards"),
    [([0, 8, 16], [0, 0, 0]), ([0, 4, 8], [0, 1, 0]), ([0, 4, 6, 12], [0, 1, 2, 0]), ([8, 0, 7, 0], [0, 0, 2, 1])],
)
def test_payloads_that_share_bytes(tmp_path: Path, offsets: list[int], shards: list[int]) -> None:
    """Within a file, and whatever its number, no two of them do any more."""
    with tfbundle.open(write_overlaps(tmp_path / "m", offsets)) as bundle:
        index, files = regroup(bundle, bundle.index.rows)
        assert [index[key].shard_id for key in index] == shards
        assert [index[key].offset for key in index] == offsets
        assert {file.path for file in files} == {bundle.shards.path(0)}
        assert len(files) == index.header.num_shards == max(shards) + 1


def test_too_many_payloads_share_bytes(tmp_path: Path) -> None:
    with tfbundle.open(write_overlaps(tmp_path / "m", [*range(8)])) as bundle:
        assert len(regroup(bundle, bundle.index.rows)[1]) == 8
    source = write_overlaps(tmp_path / "m", [*range(9)], 12)
    with tfbundle.open(source) as bundle, pytest.raises(FormatError, match="more than 8 payloads share bytes"):
        regroup(bundle, bundle.index.rows)
