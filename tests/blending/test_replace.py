from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.corpus import v1_items
from tests.support.handmade import (
    FLOAT16,
    HandmadeBundle,
    HandmadeTensor,
    all_below,
    bundle_files,
    files_of,
    flip,
    floats,
    integers,
    strings,
)
from tests.support.requirements import corpus_root
from tests.support.tables import write_table
from tests.support.wire import entry_proto, shape_proto, varint_field
from tfbundle import (
    BundleExistsError,
    BundleNotFoundError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
    replace_tensor,
)
from tfbundle.storage.local_stage import LocalStage

EXTRA = varint_field(99, 7)
HEADER_EXTRA = varint_field(98, 1)
OTHERS = [strings("labels", [b"cat", b""]), floats("b", [4, 5], shard=1, gap=7, extra=EXTRA), integers("step", [5])]


def bundle(*tensors: HandmadeTensor, num_shards: int = 2) -> HandmadeBundle:
    return HandmadeBundle(tensors, num_shards, HEADER_EXTRA)


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return bundle(floats("a", [1, 2, 3]), *OTHERS).write(tmp_path / "m")


def array(*values: float, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.array(values, dtype)


def test_bytes_in_place(prefix: str, tmp_path: Path) -> None:
    before = bundle_files(prefix)
    report = replace_tensor(prefix, "a", array(7, 8, 9))
    found = bundle_files(prefix)
    assert found[".data-00000-of-00003"] == before[".data-00000-of-00002"]
    assert found[".data-00001-of-00003"] == before[".data-00001-of-00002"]
    assert found[".data-00002-of-00003"] == array(7, 8, 9).tobytes()
    old = bundle(floats("a", [1, 2, 3]), *OTHERS)
    old.files()
    rows = [(tensor.name, tensor.placed(old.offsets[tensor.name])) for tensor in OTHERS]
    rows.append((b"a", floats("a", [7, 8, 9], shard=2).placed(0)))
    header = bundle(num_shards=3).header
    from tests.support.tables import write_table

    assert found[".index"] == write_table(sorted([(b"", header), *rows]))
    assert len(found) == 4
    assert (report.num_shards, report.unused_nbytes, report.old_dtype) == (3, 12 + 7, "float32")
    assert tfbundle.verify(prefix).ok
    assert sorted(all_below(tmp_path)) == sorted("m" + suffix for suffix in found)


def test_data_files_are_linked_not_copied(prefix: str) -> None:
    numbers = [os.stat(f"{prefix}.data-{number:05d}-of-00002").st_ino for number in range(2)]
    replace_tensor(prefix, "a", array(7, 8, 9))
    assert [os.stat(f"{prefix}.data-{number:05d}-of-00003").st_ino for number in range(2)] == numbers


def test_copied_where_there_are_no_links(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    before = bundle_files(prefix)
    monkeypatch.setattr(os, "link", refuse)
    replace_tensor(prefix, "a", array(7, 8, 9))
    assert bundle_files(prefix)[".data-00001-of-00003"] == before[".data-00001-of-00002"]
    assert len(bundle_files(prefix)) == 4
    assert tfbundle.load(prefix)["a"].tolist() == [7, 8, 9]


def test_data_files_that_are_symbolic_links(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    for number in range(2):
        path = f"{prefix}.data-{number:05d}-of-00002"
        os.rename(path, tmp_path / "blobs" / str(number))
        os.symlink(os.path.join("blobs", str(number)), path)
    replace_tensor(prefix, "a", array(7, 8, 9))
    assert tfbundle.verify(prefix).ok
    assert sorted(os.listdir(tmp_path / "blobs")) == ["0", "1"]
    for number in range(2):
        assert os.path.samefile(f"{prefix}.data-{number:05d}-of-00003", tmp_path / "blobs" / str(number))
    assert not [name for name in all_below(tmp_path) if ".tmp-" in name]


def test_again_and_again(prefix: str) -> None:
    for number in range(4):
        report = replace_tensor(prefix, "a", array(number, 0, 0))
        assert tfbundle.load(prefix)["a"].tolist() == [number, 0, 0]
    assert (report.num_shards, report.unused_nbytes) == (6, 4 * 12 + 7)
    assert len(bundle_files(prefix)) == 7
    compact = replace_tensor(prefix, "a", array(1, 2, 3), output=prefix + "-compact")
    assert compact.unused_nbytes == 0
    sizes = [len(data) for name, data in bundle_files(prefix + "-compact").items() if ".data-" in name]
    assert sum(sizes) == sum(info.nbytes for info in tfbundle.open(prefix).entries.values())


# At every moment the old bundle or the new one.


class StopError(Exception):
    pass


class Stopper:
    """Lets one call of some functions of the system fail, before or after its work is done."""

    def __init__(self, count: int, *, after: bool) -> None:
        self.left = count
        self._after = after

    def wrap(self, call: Any) -> Any:
        def stopping(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == -1 and not self._after:
                raise StopError
            result = call(*arguments, **options)
            if self.left == -1:
                raise StopError
            return result

        return stopping


def iter_stoppers() -> Iterator[Stopper]:
    """Yield stoppers of the first call, the second, … until one has nothing to stop."""
    for after in (False, True):
        for count in range(100):
            stopper = Stopper(count, after=after)
            yield stopper
            if stopper.left >= 0:
                break


OLD, NEW = [1.0, 2.0, 3.0], [7.0, 8.0, 9.0]


def test_stopped_anywhere_it_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    for number, stopper in enumerate(iter_stoppers()):
        prefix = bundle(floats("a", OLD), *OTHERS).write(tmp_path / str(number) / "m")
        stopped = False
        try:
            with monkeypatch.context() as patch:
                for name in ("rename", "link", "fsync", "unlink", "pwrite"):
                    patch.setattr(os, name, stopper.wrap(getattr(os, name)))
                replace_tensor(prefix, "a", np.array(NEW, np.float32))
        except StopError:
            stopped = True
        found = tfbundle.load(prefix)
        assert found["a"].tolist() in (OLD, NEW), number
        assert tfbundle.verify(prefix).ok
        seen.add((stopped, tuple(found["a"].tolist())))
        if found["a"].tolist() == OLD:  # nothing is left behind, and it can be done again
            assert not [name for name in all_below(tmp_path / str(number)) if ".tmp-" in name]
        replace_tensor(prefix, "a", np.array(NEW, np.float32))
        assert tfbundle.load(prefix)["a"].tolist() == NEW
    assert seen == {(True, tuple(OLD)), (True, tuple(NEW)), (False, tuple(NEW))}


def test_whoever_reads_meanwhile_sees_a_bundle(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(call: Any) -> Any:
        def looking(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            seen.append(tfbundle.load(prefix)["a"].tolist())
            return result

        return looking

    for name in ("rename", "link", "unlink"):
        monkeypatch.setattr(os, name, look(getattr(os, name)))
    replace_tensor(prefix, "a", np.array(NEW, np.float32))
    at = seen.index(NEW)
    assert seen[:at] == [OLD] * at
    assert seen[at:] == [NEW] * (len(seen) - at)
    assert at >= 4


def test_left_by_a_process_that_was_killed(prefix: str) -> None:
    """Its links have the names that are needed now; renaming a link to the same file would do nothing."""
    for number in range(2):
        os.link(f"{prefix}.data-{number:05d}-of-00002", f"{prefix}.data-{number:05d}-of-00003")
    Path(f"{prefix}.data-00002-of-00003").write_bytes(b"other")
    replace_tensor(prefix, "a", array(7, 8, 9))
    assert tfbundle.verify(prefix).ok
    assert len(bundle_files(prefix)) == 4
    assert not [name for name in all_below(os.path.dirname(prefix)) if ".tmp-" in name]


def test_changed_by_another_process_meanwhile(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    link = LocalStage.link
    others: list[str] = []

    def link_late(stage: LocalStage, source: str, path: str) -> None:
        if not others:
            others.append(path)
            replace_tensor(prefix, "step", np.array([6]))
        link(stage, source, path)

    monkeypatch.setattr(LocalStage, "link", link_late)
    with pytest.raises((FormatError, FileNotFoundError, BundleNotFoundError)):
        replace_tensor(prefix, "a", array(7, 8, 9))
    assert tfbundle.verify(prefix).ok
    assert tfbundle.load(prefix)["step"].tolist() == [6]
    assert len(bundle_files(prefix)) == 4


# What fits.


def test_other_dtypes_and_shapes_are_refused(prefix: str) -> None:
    before = bundle_files(prefix)
    with pytest.raises(ValueError, match="tensor 'a' is float32, the array float64; cast it"):
        replace_tensor(prefix, "a", np.ones(3))
    with pytest.raises(ValueError, match=r"tensor 'a' has shape \[3\], the array \[1, 3\]; --allow-shape"):
        replace_tensor(prefix, "a", np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="'labels' is string, the array int64"):
        replace_tensor(prefix, "labels", np.array([1, 2]))
    with pytest.raises(ValueError, match="'a' is float32, the array float64"):
        replace_tensor(prefix, "a", np.ones((1, 3)), allow=["shape"])
    with pytest.raises(ValueError, match="has shape"):
        replace_tensor(prefix, "a", np.ones((1, 3)), allow=["dtype"])
    with pytest.raises(ValueError, match="allow has"):
        replace_tensor(prefix, "a", array(1, 2, 3), allow=["anything"])  # type: ignore[list-item]
    assert bundle_files(prefix) == before


def test_other_dtypes_and_shapes_on_request(prefix: str) -> None:
    report = replace_tensor(prefix, "a", np.ones((2, 2), np.float16), allow=["dtype", "shape"])
    with tfbundle.open(prefix) as found:
        assert (found.entries["a"].dtype, found.entries["a"].shape) == ("float16", (2, 2))
    assert (report.old_dtype, report.old_shape, report.dtype, report.shape) == ("float32", (3,), "float16", (2, 2))
    replace_tensor(prefix, "labels", np.array([1, 2]), allow=["dtype"])
    assert tfbundle.load(prefix)["labels"].tolist() == [1, 2]


@pytest.mark.parametrize("values", [np.array([b"long" * 99, b"x"]), np.array(["é", ""]), [b"a\0", "text"]])
def test_strings(prefix: str, values: Any) -> None:
    replace_tensor(prefix, "labels", values)
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    expected = [value.encode() if isinstance(value, str) else value for value in listed]
    assert tfbundle.load(prefix)["labels"].tolist() == expected
    assert tfbundle.verify(prefix).ok


def test_big_endian_and_columns_first(prefix: str) -> None:
    replace_tensor(prefix, "a", np.array([7, 8, 9], ">f4"))
    assert tfbundle.load(prefix)["a"].tolist() == [7, 8, 9]
    table = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    replace_tensor(prefix, "a", table, allow=["shape"])
    assert np.array_equal(tfbundle.load(prefix)["a"], table)


def test_bit_patterns_of_bfloat16(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    HandmadeBundle([HandmadeTensor(b"w", 14, (2,), bytes(4))]).write(tmp_path / "m")
    numbers = np.array([1.5, -2], ml_dtypes.bfloat16)
    for value in (numbers, numbers.view(np.uint16), numbers.view("V2")):
        replace_tensor(tmp_path / "m", "w", np.zeros(2, np.uint16))
        replace_tensor(tmp_path / "m", "w", value)
        with tfbundle.open(tmp_path / "m") as found:
            assert found.payload("w").hex() == "c03f00c0"
            assert found.entries["w"].dtype == "bfloat16"
    for wrong in (np.zeros(2, np.int16), np.zeros(2, np.float16), np.zeros(2, "V4"), np.zeros(2, "u1,u1")):
        with pytest.raises(ValueError, match="'w' is bfloat16, the array"):
            replace_tensor(tmp_path / "m", "w", wrong)


def test_empty_tensor(prefix: str) -> None:
    replace_tensor(prefix, "a", np.zeros((0, 3), np.float32), allow=["shape"])
    assert tfbundle.load(prefix)["a"].shape == (0, 3)
    replace_tensor(prefix, "a", np.zeros((0, 3), np.float32), output=prefix + "-2")
    assert tfbundle.verify(prefix).ok
    assert tfbundle.verify(prefix + "-2").ok


# Names.


def test_unknown_names(prefix: str) -> None:
    with pytest.raises(TensorNotFoundError, match=r"Key stepp not found .*did you mean step\?; --add"):
        replace_tensor(prefix, "stepp", np.array([1]))
    with pytest.raises(ValueError, match="not empty"):
        replace_tensor(prefix, "", np.array([1]), allow=["new"])
    report = replace_tensor(prefix, "aa", np.array([1.5], np.float16), allow=["new"])
    assert list(tfbundle.load(prefix)) == ["a", "aa", "b", "labels", "step"]
    assert (report.old_dtype, report.old_shape) == ("", ())
    assert tfbundle.open(prefix).entry("aa").dtype == FLOAT16
    replace_tensor(prefix, "new", np.array([b"x"]), allow=["new"], output=prefix + "-2")
    assert tfbundle.load(prefix + "-2")["new"].tolist() == [b"x"]


def test_short_names(tmp_path: Path) -> None:
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    tfbundle.save(tmp_path / "m", {f"net/w{suffix}": np.float32(1), "plain": np.float32(1)})
    assert replace_tensor(tmp_path / "m", "net/w", np.float32(2)).name == f"net/w{suffix}"
    assert replace_tensor(tmp_path / "m", "plain:0", np.float32(3)).name == "plain"
    assert {name: value.item() for name, value in tfbundle.load(tmp_path / "m").items()} == {
        f"net/w{suffix}": 2,
        "plain": 3,
    }


# Partitions, copies, other bundles.


@pytest.mark.parametrize("in_place", [True, False])
def test_partitioned_tensor_becomes_plain(tmp_path: Path, in_place: bool) -> None:
    with tfbundle.create(tmp_path / "m") as writer:
        for name in ("v", "w"):
            for start in (0, 2):
                writer.add_slice(name, np.full((2, 3), start, np.float32), shape=(4, 3), extents=((start, 2), (0, -1)))
    value = np.arange(12, dtype=np.float32).reshape(4, 3)
    output = None if in_place else tmp_path / "out" / "m"
    report = replace_tensor(tmp_path / "m", "w", value, output=output)
    with tfbundle.open(report.target) as found:
        assert np.array_equal(found["w"], value)
        assert found.entries["w"].slices == ()
        assert found.entries["v"].slices == (((0, 2), (0, -1)), ((2, 2), (0, -1)))
        assert found["v"].tolist() == [[0.0] * 3] * 2 + [[2.0] * 3] * 2
        assert len(found.index) == 4
    assert any("was partitioned into 2 slices" in note for note in report.notes)
    assert tfbundle.verify(report.target).ok


def test_bytes_of_a_copy(prefix: str, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    report = replace_tensor(prefix, "b", array(7, 8), output=tmp_path / "out" / "m")
    expected = bundle(floats("a", [1, 2, 3]), OTHERS[0], OTHERS[2], floats("b", [7, 8], shard=1, extra=EXTRA))
    assert bundle_files(tmp_path / "out" / "m") == expected.files()
    assert {name: data for name, data in files_of(tmp_path).items() if not name.startswith("out")} == before
    assert report.num_shards == 2
    assert tfbundle.latest(tmp_path / "out") == str(tmp_path / "out" / "m")


def test_target_of_a_copy(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(BundleExistsError, match="the target is the source"):
        replace_tensor(prefix, "a", array(7, 8, 9), output=prefix, if_exists="replace")
    replace_tensor(prefix, "a", array(7, 8, 9), output=tmp_path / "other")
    with pytest.raises(BundleExistsError, match="exists already"):
        replace_tensor(prefix, "a", array(0, 0, 0), output=tmp_path / "other")
    replace_tensor(prefix, "a", array(0, 0, 0), output=tmp_path / "other", if_exists="replace")
    assert tfbundle.load(tmp_path / "other")["a"].tolist() == [0, 0, 0]


def test_damage_elsewhere(prefix: str, tmp_path: Path) -> None:
    """A copy is not made of damaged payloads; in place they are not even read."""
    flip(f"{prefix}.data-00001-of-00002", 8)
    with pytest.raises(ChecksumError, match="tensor 'b'"):
        replace_tensor(prefix, "a", array(7, 8, 9), output=tmp_path / "out" / "m")
    assert not (tmp_path / "out").exists()
    replace_tensor(prefix, "a", array(7, 8, 9))
    assert ["tensor 'b'" in damage.message for damage in tfbundle.verify(prefix).damages] == [True]
    replace_tensor(prefix, "b", array(1, 2))
    assert tfbundle.verify(prefix).ok


@pytest.mark.parametrize(
    ("entry", "message"),
    [(b"\xff", "BundleEntryProto not parseable"), (entry_proto(1, shape_proto(0), 0, 0, 0, 2), "lies in shard 2 of 2")],
)
def test_damaged_entry_of_another_tensor(prefix: str, tmp_path: Path, entry: bytes, message: str) -> None:
    """Nothing is changed; the one more data file must not become that of an entry that named none."""
    index = Path(f"{prefix}.index")
    with tfbundle.open(prefix) as opened:
        rows = {**opened.index.rows, b"z": entry}
    index.write_bytes(write_table([(b"", bundle(num_shards=2).header), *sorted(rows.items())]))
    before = files_of(tmp_path)
    with pytest.raises(FormatError, match=rf"m\.index: tensor 'z': {message}"):
        replace_tensor(prefix, "a", array(7, 8, 9))
    assert files_of(tmp_path) == before


def test_missing_shard(prefix: str, tmp_path: Path) -> None:
    os.unlink(f"{prefix}.data-00001-of-00002")
    before = files_of(tmp_path)
    with pytest.raises(BundleNotFoundError, match="shard 1 of 2"):
        replace_tensor(prefix, "a", array(7, 8, 9))
    assert files_of(tmp_path) == before


def test_v1_and_big_endian(tmp_path: Path) -> None:
    from tests.support.bundles import entry_of, write_bundle

    header = bytes.fromhex("080110011a020801")
    data = np.array([1, 2], ">f4").tobytes() + np.array([5, 6], ">i8").tobytes()
    rows = {b"w": entry_of(1, shape_proto(2), data[:8]), b"n": entry_of(9, shape_proto(2), data[8:], 8)}
    write_bundle(str(tmp_path / "big"), rows, [data], header)
    with pytest.raises(UnsupportedError, match="a big-endian bundle cannot be changed in place; --output"):
        replace_tensor(tmp_path / "big", "w", array(3, 4))
    replace_tensor(tmp_path / "big", "w", array(3, 4), output=tmp_path / "little")
    assert [value.tolist() for value in tfbundle.load(tmp_path / "little").values()] == [[5, 6], [3, 4]]
    assert tfbundle.verify(tmp_path / "little").ok
    corpus_root()
    item = v1_items()[0]
    name, tensor = next(iter(tfbundle.load(item.prefix).items()))
    with pytest.raises(UnsupportedError, match="a V1 checkpoint cannot be changed in place"):
        replace_tensor(item.prefix, name, tensor)
    replace_tensor(item.prefix, name, np.zeros_like(tensor), output=tmp_path / "v2" / "m")
    assert not tfbundle.load(tmp_path / "v2" / "m")[name].any()
    assert tfbundle.verify(tmp_path / "v2" / "m").ok
