from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.bundles import entry_of, write_bundle
from tests.support.handmade import HandmadeBundle, HandmadeTensor, flip, floats, integers, strings
from tests.support.partitions import Piece, partitioned_bundle
from tests.support.wire import shape_proto
from tfbundle import BundleNotFoundError, FormatError, VerifyReport, verify

TENSORS = [floats("a", [1, 2, 3]), strings("b", [b"xy", b""]), integers("c", [4, 5]), floats("d", [])]
DATA = ".data-00000-of-00001"


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return HandmadeBundle(TENSORS).write(tmp_path / "m")


def damaged(report: VerifyReport) -> dict[str, str]:
    return {damage.tensor: damage.kind for damage in report.damages}


def test_sound_bundle(prefix: str) -> None:
    report = verify(prefix)
    assert report == VerifyReport(prefix, 4, 1, 12 + 8 + 16, (), "")
    assert report.ok


@pytest.mark.parametrize(
    ("offset", "tensor", "kind"),
    [(0, "a", "ChecksumError"), (11, "a", "ChecksumError"), (12, "b", "FormatError"), (15, "b", "ChecksumError"),
     (19, "b", "ChecksumError"), (20, "c", "ChecksumError"), (35, "c", "ChecksumError")],
)  # fmt: skip
def test_one_flipped_byte(prefix: str, offset: int, tensor: str, kind: str) -> None:
    flip(prefix + DATA, offset)
    report = verify(prefix)
    assert not report.ok
    assert damaged(report).keys() == {tensor}
    assert damaged(report)[tensor] in (kind, "ChecksumError", "FormatError")
    assert report.hint == ""
    assert f"tensor {tensor!r}" in report.damages[0].message
    assert prefix + DATA in report.damages[0].message


def test_checking_goes_on_after_damage(prefix: str) -> None:
    flip(prefix + DATA, 0)
    flip(prefix + DATA, 20)
    assert damaged(verify(prefix)) == {"a": "ChecksumError", "c": "ChecksumError"}


def test_data_of_another_step(tmp_path: Path) -> None:
    for step in (1, 2):
        values = {name: np.full(3, step, np.float32) for name in "abc"}
        tfbundle.save(tmp_path / f"m-{step}", values)
    (tmp_path / "m-2.index").write_bytes((tmp_path / "m-1.index").read_bytes())
    report = verify(tmp_path / "m-2")
    assert len(report.damages) == 3
    assert "of different steps, or the copy is partial" in report.hint


def test_partial_copy(prefix: str) -> None:
    data = Path(prefix + DATA)
    data.write_bytes(data.read_bytes()[:5])
    report = verify(prefix)
    assert damaged(report) == {"a": "TruncatedError", "b": "TruncatedError", "c": "TruncatedError"}
    assert "the copy is partial" in report.hint


def test_missing_shard(prefix: str) -> None:
    Path(prefix + DATA).unlink()
    report = verify(prefix)
    assert set(damaged(report).values()) == {"BundleNotFoundError"}
    assert "a data file is missing" in report.hint


def test_overlapping_payloads(tmp_path: Path) -> None:
    payload = np.arange(4, dtype="<f4").tobytes()
    rows = {b"a": entry_of(1, shape_proto(4), payload), b"b": entry_of(1, shape_proto(2), payload[4:12], 4)}
    write_bundle(str(tmp_path / "m"), rows, [payload])
    (damage,) = verify(tmp_path / "m").damages
    assert (damage.tensor, damage.kind) == ("b", "FormatError")
    assert "within that of tensor 'a'" in damage.message


def test_entry_that_does_not_decode(tmp_path: Path) -> None:
    good = floats("good", [1])
    rows = {b"bad": b"\xff\xff", b"good": good.placed(0)}
    write_bundle(str(tmp_path / "m"), rows, [good.payload])
    assert damaged(verify(tmp_path / "m")) == {"bad": "FormatError"}


def test_tensor_without_bytes_has_a_checksum_too(tmp_path: Path) -> None:
    prefix = HandmadeBundle([HandmadeTensor(b"z", 1, (0,), b"", crc=5)]).write(tmp_path / "m")
    assert damaged(verify(prefix)) == {"z": "ChecksumError"}


def test_partition_with_a_gap(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    pieces = [Piece(((0, 2),), np.s_[0:2,]), Piece(((4, 2),), np.s_[4:6,])]
    prefix = partitioned_bundle("w", values, 1, pieces, [0, 0]).write(tmp_path / "m")
    (damage,) = verify(prefix).damages
    assert "4 of 6 elements are stored" in damage.message


def test_index_that_is_damaged_raises(prefix: str) -> None:
    flip(prefix + ".index", 3)
    with pytest.raises(FormatError, match="block checksum mismatch"):
        verify(prefix)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        verify(tmp_path / "m")
