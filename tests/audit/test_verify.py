from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.corpus import Item, v2_items
from tests.support.handmade import (
    FLOAT32,
    HandmadeBundle,
    HandmadeTensor,
    files_of,
    flip,
    floats,
    integers,
    strings,
)
from tests.support.partitions import Piece, partitioned_bundle
from tests.support.requirements import corpus_root
from tests.support.tables import masked_crc, write_table
from tests.support.wire import entry_proto, shape_proto
from tfbundle import BundleNotFoundError, FormatError, halve, verify
from tfbundle.audit.verify import VerifyReport

BUNDLE = HandmadeBundle(
    [
        floats("a/kernel", np.arange(20)),
        strings("labels", [b"cat", b"", b"dog"]),
        integers("step", [5], gap=3),
        floats("b/bias", [1, 2], shard=1),
        floats("empty", [], shard=1),
    ],
    2,
)
SHARDS = (".data-00000-of-00002", ".data-00001-of-00002")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return BUNDLE.write(tmp_path / "model")


def damaged(report: VerifyReport) -> dict[str, str]:
    """Return the kind of each damage by tensor."""
    assert report.ok == (not report.damages)
    assert len({damage.tensor for damage in report.damages}) == len(report.damages)
    return {damage.tensor: damage.kind for damage in report.damages}


def test_sound(source: str, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    report = verify(source)
    assert report == VerifyReport(source, 5, 2, 80 + 13 + 8 + 8, (), "")
    assert report.ok
    assert report.to_dict()["ok"]
    assert files_of(tmp_path) == before


def readable_items() -> list[Item]:
    return [item for item in v2_items() if not any(tensor.error for tensor in item.tensors.values())]


@pytest.mark.parametrize("item", readable_items() or [None], ids=lambda item: item.label if item else "no corpus")
def test_corpus_is_sound(item: Item | None) -> None:
    if item is None:
        corpus_root()
        return
    assert damaged(verify(item.prefix)) == {}


@pytest.mark.parametrize(
    ("shard", "offset", "tensor"), [(0, 0, "a/kernel"), (0, 79, "a/kernel"), (0, 96, "step"), (1, 7, "b/bias")]
)
def test_flipped_byte(source: str, shard: int, offset: int, tensor: str) -> None:
    flip(source + SHARDS[shard], offset)
    report = verify(source)
    assert damaged(report) == {tensor: "ChecksumError"}
    (damage,) = report.damages
    for phrase in (source + SHARDS[shard], f"tensor '{tensor}'", "Checksum does not match"):
        assert phrase in damage.message
    assert report.hint == ""
    assert report.num_tensors == 5


@pytest.mark.parametrize("offset", range(13))
def test_flipped_byte_in_strings(source: str, offset: int) -> None:
    flip(source + SHARDS[0], 80 + offset, 0x85)
    report = verify(source)
    assert list(damaged(report)) == ["labels"]
    assert "tensor 'labels'" in report.damages[0].message


def test_flipped_byte_in_a_gap(source: str) -> None:
    flip(source + SHARDS[0], 94)
    assert verify(source).ok


def test_damage_in_several_tensors(source: str) -> None:
    """Does not stop at the first; not most of them, so nothing is likely."""
    flip(source + SHARDS[0], 0)
    flip(source + SHARDS[1], 0)
    report = verify(source)
    assert damaged(report) == {"a/kernel": "ChecksumError", "b/bias": "ChecksumError"}
    assert [damage.tensor for damage in report.damages] == ["a/kernel", "b/bias"]
    assert report.nbytes == 13 + 8
    assert report.hint == ""


def test_wrong_checksum_of_no_bytes(tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats("w", [1]), floats("empty", [], crc=1)])
    assert damaged(verify(bundle.write(tmp_path / "model"))) == {"empty": "ChecksumError"}


def test_missing_shard(source: str) -> None:
    os.remove(source + SHARDS[1])
    report = verify(source)
    assert damaged(report) == {"b/bias": "BundleNotFoundError", "empty": "BundleNotFoundError"}
    assert "missing" in report.hint


def test_every_shard_missing() -> None:
    lenet = corpus_root() / "real" / "lingvo_index_only" / "lenet_test_model"
    report = verify(lenet)
    assert len(report.damages) == report.num_tensors == 23
    assert "missing" in report.hint


def test_data_of_another_step(source: str, tmp_path: Path) -> None:
    later = HandmadeBundle(
        [floats("a/kernel", np.arange(20) + 1), *BUNDLE.tensors[1:2], integers("step", [6], gap=3)], 2
    )
    later.write(tmp_path / "later")
    os.replace(f"{tmp_path / 'later'}{SHARDS[0]}", source + SHARDS[0])
    flip(source + SHARDS[1], 0)
    report = verify(source)
    assert damaged(report) == dict.fromkeys(("a/kernel", "b/bias", "step"), "ChecksumError")
    assert "different steps" in report.hint


def test_one_tensor_is_not_most_of_them(tmp_path: Path) -> None:
    source = HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "model")
    flip(f"{source}.data-00000-of-00001", 0)
    report = verify(source)
    assert damaged(report) == {"w": "ChecksumError"}
    assert report.hint == ""


def test_truncated_data(source: str) -> None:
    os.truncate(source + SHARDS[0], 80)
    report = verify(source)
    assert damaged(report) == {"labels": "TruncatedError", "step": "TruncatedError"}
    assert "Read less bytes than requested" in report.damages[0].message


def test_git_lfs_pointer_for_a_shard(source: str) -> None:
    Path(source + SHARDS[0]).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    report = verify(source)
    assert damaged(report) == dict.fromkeys(("a/kernel", "labels", "step"), "FormatError")
    assert all("git lfs pull" in damage.message for damage in report.damages)


def write_rows(prefix: Path, rows: dict[bytes, bytes], data: bytes) -> str:
    header = HandmadeBundle([]).header
    Path(f"{prefix}.index").write_bytes(write_table([(b"", header), *sorted(rows.items())]))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return str(prefix)


def float_row(nbytes: int, offset: int, shard: int = 0) -> bytes:
    crc = int.from_bytes(masked_crc(bytes(nbytes)), "little")
    return entry_proto(FLOAT32, shape_proto(nbytes // 4), nbytes, crc, offset, shard)


def test_overlap(tmp_path: Path) -> None:
    rows = {b"a": float_row(8, 4), b"b": float_row(8, 0), b"c": float_row(4, 12)}
    report = verify(write_rows(tmp_path / "model", rows, bytes(16)))
    assert damaged(report) == {"a": "FormatError"}
    assert "starts at 4, within that of tensor 'b', 8 bytes from 0 on" in report.damages[0].message


def test_every_overlap_is_told(tmp_path: Path) -> None:
    rows = {b"a": float_row(16, 0), b"b": float_row(4, 4), b"c": float_row(4, 12)}
    assert damaged(verify(write_rows(tmp_path / "model", rows, bytes(16)))) == {"b": "FormatError", "c": "FormatError"}


def test_overlap_beside_other_damage(tmp_path: Path) -> None:
    rows = {b"a": float_row(8, 0), b"b": float_row(8, 4), b"c": float_row(4, 12)}
    report = verify(write_rows(tmp_path / "model", rows, bytes(12) + b"\1\0\0\0"))
    assert damaged(report) == {"b": "FormatError", "c": "ChecksumError"}


def test_entries_that_do_not_decode(tmp_path: Path) -> None:
    rows = {
        b"dtype": entry_proto(999, shape_proto(1), 4, 1),
        b"proto": b"\xff",
        b"shape": entry_proto(FLOAT32, shape_proto(1), 5, 1),
        b"sound": float_row(8, 0),
    }
    report = verify(write_rows(tmp_path / "model", rows, bytes(8)))
    assert damaged(report) == dict.fromkeys(("dtype", "proto", "shape"), "FormatError")
    assert report.nbytes == 8


def test_shard_that_does_not_exist(tmp_path: Path) -> None:
    rows = {b"a": float_row(8, 0, shard=3), b"b": float_row(8, 0)}
    assert list(damaged(verify(write_rows(tmp_path / "model", rows, bytes(8))))) == ["a"]


def test_negative_offset(tmp_path: Path) -> None:
    rows = {b"a": entry_proto(FLOAT32, shape_proto(2), 8, 1, -4), b"b": float_row(8, 0)}
    assert damaged(verify(write_rows(tmp_path / "model", rows, bytes(8)))) == {"a": "FormatError"}


def test_names_of_any_bytes(tmp_path: Path) -> None:
    bundle = HandmadeBundle([HandmadeTensor(b"\xff\n", FLOAT32, (1,), bytes(4), crc=1)])
    assert list(damaged(verify(bundle.write(tmp_path / "model")))) == ["\udcff\n"]


def test_damaged_index(source: str) -> None:
    flip(f"{source}.index", 10)
    with pytest.raises(FormatError, match="block checksum mismatch"):
        verify(source)


def test_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        verify(tmp_path / "missing")


def test_what_halve_writes(source: str, tmp_path: Path) -> None:
    halve(source, tmp_path / "half")
    report = verify(tmp_path / "half")
    assert report.ok
    assert report.nbytes == 40 + 13 + 8 + 4


def test_partition_with_a_gap(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    pieces = [Piece(((0, 2),), np.s_[0:2,]), Piece(((4, 2),), np.s_[4:6,])]
    prefix = partitioned_bundle("w", values, 1, pieces, [0, 0]).write(tmp_path / "m")
    (damage,) = verify(prefix).damages
    assert "4 of 6 elements are stored" in damage.message


@pytest.mark.parametrize(
    ("nbytes", "notes"), [(64 << 10, ()), ((64 << 10) + 1, ("names of more than 65536 bytes: 1",))]
)
def test_r02_long_names_are_noted(tmp_path: Path, nbytes: int, notes: tuple[str, ...]) -> None:
    prefix = HandmadeBundle([floats("w", [1]), floats("n" * nbytes, [2])]).write(tmp_path / "model")
    report = verify(prefix)
    assert report.ok
    assert report.notes == notes
