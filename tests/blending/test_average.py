from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tfbundle
from tests.support.bundles import entry_of, write_bundle
from tests.support.corpus import v1_items
from tests.support.giant import write_giant, write_giant_partition
from tests.support.handmade import HandmadeBundle, all_below, files_of, flip, floats, integers, strings
from tests.support.processes import BARE_IMPORTS, peak_nbytes
from tests.support.requirements import corpus_root
from tests.support.tables import masked_crc, varint
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle import BundleExistsError, BundleNotFoundError, ChecksumError, FormatError, Layout, RunOptions, average
from tfbundle.blending.averaging import Averaging

MIB = 1 << 20
FLOATS = ["float16", "float32", "float64", "complex64", "complex128"]


def numpy_mean(values: list[NDArray[Any]]) -> NDArray[Any]:
    """Numpy's mean in float64, by parts, rounded once."""
    parts = [value.reshape(-1).view(value.real.dtype) for value in values]
    mean: NDArray[Any] = np.mean(np.stack([part.astype(np.float64) for part in parts]), axis=0).astype(parts[0].dtype)
    return mean.view(values[0].dtype).reshape(values[0].shape)


def model(seed: int) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {
        f"layer/{dtype}/{shape}": random.normal(size=shape).astype(dtype)
        for dtype in FLOATS
        for shape in ((), (3,), (4, 5), (0, 2))
    }
    return found | {
        "step": np.array(seed, np.int64),
        "table": np.arange(6, dtype=np.int32).reshape(2, 3),
        "labels": np.array([b"cat", b"dog"], object),
        "flags": np.array([True, False]),
    }


def save_models(folder: Path, count: int = 3) -> list[Path]:
    prefixes = [folder / f"model-{seed}" for seed in range(count)]
    for seed, prefix in enumerate(prefixes):
        tensors = model(seed)
        names = list(tensors) if seed % 2 else list(tensors)[::-1]  # in another order in the file
        tfbundle.save(prefix, {name: tensors[name] for name in names})
    return prefixes


@pytest.mark.parametrize("count", [2, 3, 5])
def test_means_of_numpy(tmp_path: Path, count: int) -> None:
    report = average(save_models(tmp_path / "in", count), tmp_path / "out" / "m")
    found = tfbundle.load(tmp_path / "out" / "m")
    for name, value in found.items():
        if name.startswith("layer/"):
            expected = numpy_mean([model(seed)[name] for seed in range(count)])
            assert (value.dtype, value.shape) == (expected.dtype, expected.shape), name
            assert value.tobytes() == expected.tobytes(), name
    assert found["step"] == count - 1
    assert found["table"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["labels"].tolist() == [b"cat", b"dog"]
    assert (report.num_averaged, report.num_tensors) == (20, 24)
    assert report.from_last == ("step",)
    assert any("'step' (int64) is 0 in" in note and f"and {count - 1} in" in note for note in report.notes)
    assert tfbundle.verify(tmp_path / "out" / "m").ok
    assert not any(".tmp-" in name for name in all_below(tmp_path))


def test_order_of_the_files_is_that_of_the_last(tmp_path: Path) -> None:
    sources = save_models(tmp_path / "in")
    average(sources, tmp_path / "m")
    with tfbundle.open(sources[-1]) as last, tfbundle.open(tmp_path / "m") as mean:
        assert {name: info.offset for name, info in last.entries.items()} == {
            name: info.offset for name, info in mean.entries.items()
        }


def test_bfloat16_is_rounded_once(tmp_path: Path) -> None:
    """257 + 2^-21 rounds to 258; by way of float32 it would be 257, and then 256."""
    for number, pattern in enumerate((0x4401, 0x4400, 0, 0x3600)):
        with tfbundle.create(tmp_path / f"{number}") as writer:
            writer.add("w", np.array([pattern], np.uint16), dtype="bfloat16")
    average([tmp_path / f"{number}" for number in range(4)], tmp_path / "m")
    with tfbundle.open(tmp_path / "m") as bundle:
        assert bundle.payload("w").hex() == "8143"
        assert bundle.entries["w"].dtype == "bfloat16"


def test_tensor_of_many_windows_beside_small_ones(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    values = [random.normal(size=700_001).astype(np.float32) for _ in range(3)]
    counts = [np.arange(300_000) + number for number in (0, 0, 1)]
    for number in range(3):
        tensors: dict[str, Any] = {"a": np.float32(number), "big": values[number], "counts": counts[number]}
        tensors["z"] = np.float32(1)
        tfbundle.save(tmp_path / f"{number}", tensors)
    report = average([tmp_path / f"{number}" for number in range(3)], tmp_path / "m")
    found = tfbundle.load(tmp_path / "m")
    assert found["big"].tobytes() == numpy_mean(values).tobytes()
    assert [found["a"].item(), found["z"].item()] == [1, 1]
    assert np.array_equal(found["counts"], counts[2])
    assert report.from_last == ("counts",)


def test_first_difference_is_told_with_its_place(tmp_path: Path) -> None:
    tables = [np.zeros((2, 200_000), np.int64) for _ in range(2)]
    tables[1][1, 150_000] = 77
    for number, table in enumerate(tables):
        tfbundle.save(tmp_path / f"{number}", {"a": np.int64(1), "table": table})
    report = average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    assert report.notes[0].startswith(f"tensor 'table' (int64) at [1, 150000] is 0 in {tmp_path / '0'} and 77 in")


def test_integers_that_must_agree(tmp_path: Path) -> None:
    sources = save_models(tmp_path / "in", 2)
    with pytest.raises(ValueError, match=r"'step' \(int64\) is 0 in .*model-0 and 1 in .*model-1; --integers last"):
        average(sources, tmp_path / "out" / "m", integers="agree")
    assert not (tmp_path / "out").exists()
    shutil.copytree(tmp_path / "in", tmp_path / "same")
    twice = [sources[0], tmp_path / "same" / "model-0"]
    assert average(twice, tmp_path / "out" / "m", integers="agree").from_last == ()
    with pytest.raises(ValueError, match="integers is 'maybe'"):
        average(twice, tmp_path / "m", integers="maybe")  # type: ignore[arg-type]


def test_strings_that_differ(tmp_path: Path) -> None:
    for number, values in enumerate(([b"a", b"same"], [b"bbb", b"same"])):
        tfbundle.save(tmp_path / f"{number}", {"s": np.array(values, object), "w": np.float32(number)})
    report = average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    assert tfbundle.load(tmp_path / "m")["s"].tolist() == [b"bbb", b"same"]
    assert "'s' (string) at [0] is b'a' in" in report.notes[0]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": np.zeros(2, np.float32)}, "only .*/0 has step"),
        ({"w": np.zeros(2, np.float32), "step": np.int64(1), "x": np.int64(1)}, "only .*/1 has x"),
        ({"w": np.zeros(3, np.float32), "step": np.int64(1)}, r"w is float32 \[2\] in the first, float32 \[3\] in the"),
        ({"w": np.zeros(2, np.float16), "step": np.int64(1)}, r"w is float32 \[2\] in the first, float16 \[2\] in the"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    tfbundle.save(tmp_path / "0", {"w": np.zeros(2, np.float32), "step": np.int64(1)})
    tfbundle.save(tmp_path / "1", other)
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match=f"do not hold the same tensors: .*{message}"):
        average([tmp_path / "0", tmp_path / "1"], tmp_path / "out" / "m")
    assert files_of(tmp_path) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("name", ["layer/float32/(4, 5)", "table", "labels", "layer/complex128/()"])
def test_damage_in_any_source_is_found(tmp_path: Path, damaged: int, name: str) -> None:
    sources = save_models(tmp_path / "in")
    with tfbundle.open(sources[damaged]) as bundle:
        offset = bundle.entries[name].offset
    flip(f"{sources[damaged]}.data-00000-of-00001", offset + 1)
    before = all_below(tmp_path)
    with pytest.raises(FormatError, match=rf"model-{damaged}\.data-00000-of-00001: tensor '{name[:5]}"):
        average(sources, tmp_path / "out" / "m")
    assert all_below(tmp_path) == before


def test_wrong_checksum_of_an_empty_tensor(tmp_path: Path) -> None:
    HandmadeBundle([floats("w", [1]), floats("none", [], crc=5)]).write(tmp_path / "0")
    HandmadeBundle([floats("w", [1]), floats("none", [])]).write(tmp_path / "1")
    with pytest.raises(ChecksumError, match="tensor 'none'"):
        average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")


def test_gaps_shards_and_unknown_fields(tmp_path: Path) -> None:
    extra = varint_field(99, 7)
    first = [floats("a", [1, 2], gap=3), floats("b", [3], shard=1), integers("step", [5]), floats("none", [], shard=1)]
    last = [floats("b", [5], shard=2, extra=extra), floats("none", []), integers("step", [6]), floats("a", [3, 5])]
    HandmadeBundle(first, 2).write(tmp_path / "0")
    HandmadeBundle(last, 3, header_extra=varint_field(98, 1)).write(tmp_path / "1")
    average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    expected = [
        floats("b", [4], shard=2, extra=extra),
        floats("none", []),
        integers("step", [6]),
        floats("a", [2, 3.5]),
    ]
    files = HandmadeBundle(expected, 3, header_extra=varint_field(98, 1)).files()
    assert {name.removeprefix("m"): data for name, data in files_of(tmp_path).items() if name[0] == "m"} == files


def test_other_shards(tmp_path: Path) -> None:
    sources = save_models(tmp_path / "in")
    average(sources, tmp_path / "one")
    for layout, count in ((Layout(shards=4), 4), (Layout(max_shard_nbytes=300), None)):
        report = average(sources, tmp_path / "many", layout=layout, options=RunOptions("replace"))
        assert report.num_shards == (count or report.num_shards) > 1
        one, many = tfbundle.load(tmp_path / "one"), tfbundle.load(tmp_path / "many")
        assert all(np.array_equal(one[name], many[name]) for name in one)


def test_neighbours_in_one_source_lie_in_two_shards_of_another(tmp_path: Path) -> None:
    """Going by offsets alone they would be neighbours there, too."""
    HandmadeBundle([floats("a", [1, 2]), floats("b", [3], shard=1, gap=8)], 2).write(tmp_path / "0")
    HandmadeBundle([floats("a", [3, 4]), floats("b", [5])]).write(tmp_path / "1")
    average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    assert {name: value.tolist() for name, value in tfbundle.load(tmp_path / "m").items()} == {"a": [2, 3], "b": [4]}


def test_payloads_that_overlap(tmp_path: Path) -> None:
    data = np.arange(4, dtype="<f4").tobytes()
    rows = {b"a": entry_of(1, shape_proto(3), data[:12]), b"b": entry_of(1, shape_proto(2), data[8:], 8)}
    for name in "01":
        write_bundle(str(tmp_path / name), rows, [data])
    before = all_below(tmp_path)
    with pytest.raises(FormatError, match=r"/0: tensor 'b': payload starts at 8, within that of tensor 'a'"):
        average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    assert all_below(tmp_path) == before


def test_source_that_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = save_models(tmp_path)
    before = all_below(tmp_path)

    def touch(averaging: Averaging) -> None:
        os.utime(f"{sources[1]}.data-00000-of-00001", ns=(1, 1))
        copy(averaging)

    copy = Averaging.copy
    monkeypatch.setattr(Averaging, "copy", touch)
    with pytest.raises(FormatError, match="changed while it was read"):
        average(sources, tmp_path / "m")
    assert all_below(tmp_path) == before


# Partitions.


def write_parted(prefix: Path, values: NDArray[Any], cuts: list[tuple[int, int]], axis: int = 0) -> None:
    with tfbundle.create(prefix) as writer:
        for start, length in cuts:
            extents = tuple((start, length) if at == axis else (0, -1) for at in range(values.ndim))
            part = values[tuple(slice(at, None if size < 0 else at + size) for at, size in extents)]
            writer.add_slice("w", part, shape=values.shape, extents=extents)
        writer.add("bias", np.float32(1))


@pytest.mark.parametrize("dtype", ["float32", "float16", "complex64"])
def test_equal_partitions_stay(tmp_path: Path, dtype: str) -> None:
    values = [np.random.default_rng(seed).normal(size=(5, 4)).astype(dtype) for seed in range(3)]
    for number, value in enumerate(values):
        write_parted(tmp_path / f"{number}", value, [(0, 2), (2, 3)])
    average([tmp_path / f"{number}" for number in range(3)], tmp_path / "m")
    with tfbundle.open(tmp_path / "m") as bundle:
        assert bundle.entries["w"].slices == (((0, 2), (0, -1)), ((2, 3), (0, -1)))
        assert bundle["w"].tobytes() == numpy_mean(values).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_other_partitions_are_joined(tmp_path: Path, dtype: str) -> None:
    values = [(np.random.default_rng(seed).normal(size=(700, 600)) * 100).astype(dtype) for seed in range(3)]
    write_parted(tmp_path / "0", values[0], [(0, 200), (200, 500)])
    write_parted(tmp_path / "1", values[1], [(0, 1), (1, 599)], axis=1)
    tfbundle.save(tmp_path / "2", {"w": values[2], "bias": np.float32(3)})
    for order in ((0, 1, 2), (2, 0, 1)):
        report = average([tmp_path / f"{number}" for number in order], tmp_path / "m", options=RunOptions("replace"))
        with tfbundle.open(tmp_path / "m") as bundle:
            assert bundle.entries["w"].slices == ()
            expected = values[order[-1]] if dtype == "int64" else numpy_mean([values[number] for number in order])
            assert bundle["w"].tobytes() == expected.tobytes()
            assert len(bundle.index) == 2
        assert report.from_last == (("w",) if dtype == "int64" else ())
        assert tfbundle.verify(tmp_path / "m").ok


def test_difference_in_a_tensor_that_is_joined(tmp_path: Path) -> None:
    values = np.zeros((4, 3), np.int32)
    write_parted(tmp_path / "0", values, [(0, 2), (2, 2)])
    values[3, 1] = 7
    write_parted(tmp_path / "1", values, [(0, 1), (1, 2)], axis=1)
    report = average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    assert f"tensor 'w' (int32) at [3, 1] is 0 in {tmp_path / '0'} and 7 in" in report.notes[0]


def test_damage_in_a_slice_that_is_joined(tmp_path: Path) -> None:
    value = np.ones((4, 4), np.float32)
    write_parted(tmp_path / "0", value, [(0, 2), (2, 2)])
    write_parted(tmp_path / "1", value, [(0, 1), (1, 3)])
    flip(tmp_path / "0.data-00000-of-00001", 40)
    before = all_below(tmp_path)
    with pytest.raises(ChecksumError, match="tensor 'w', slice 2,2:-"):
        average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    assert all_below(tmp_path) == before


def test_gaps_in_a_tensor_that_is_joined(tmp_path: Path) -> None:
    value = np.ones((4, 4), np.float32)
    write_parted(tmp_path / "0", value, [(0, 2)])
    write_parted(tmp_path / "1", value, [(0, 1), (1, 3)])
    with pytest.raises(FormatError, match=r"0\.index: tensor 'w': Does not have sufficient slices"):
        average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")


def test_strings_in_other_slices(tmp_path: Path) -> None:
    values = np.array([b"a", b"b", b"c"], object)
    write_parted(tmp_path / "0", values, [(0, 1), (1, 2)])
    write_parted(tmp_path / "1", values, [(0, 2), (2, 1)])
    for dry_run in (True, False):
        with pytest.raises(tfbundle.UnsupportedError, match="'w' of dtype string is partitioned in different ways"):
            average([tmp_path / "0", tmp_path / "1"], tmp_path / "m", options=RunOptions(dry_run=dry_run))
    assert not any(name.startswith("m") for name in all_below(tmp_path))


# Other kinds of sources.


def big_endian(prefix: Path, value: list[float], texts: list[bytes]) -> None:
    numbers = np.array(value, ">f4").tobytes()
    counts = np.array([1, 2], ">i8").tobytes()
    sizes = b"".join(len(text).to_bytes(4, "big") for text in texts)
    contents = masked_crc(sizes)[::-1] + b"".join(texts)
    payload = b"".join(varint(len(text)) for text in texts) + contents
    crc = int.from_bytes(masked_crc(sizes + contents), "little")
    rows = {
        b"w": entry_of(1, shape_proto(len(value)), numbers),
        b"n": entry_of(9, shape_proto(2), counts, len(numbers)),
        b"s": entry_proto(7, shape_proto(len(texts)), len(payload), crc, len(numbers + counts)),
    }
    header = varint_field(1, 1) + varint_field(2, 1) + bytes_field(3, varint_field(1, 1))
    write_bundle(str(prefix), rows, [numbers + counts + payload], header)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_big_endian_and_little_endian(tmp_path: Path, order: tuple[int, int]) -> None:
    texts = [b"x" * 40] * 300_000 + [b"end"]  # sizes end within the first window, contents take many
    big_endian(tmp_path / "0", [1, -2], texts)
    little = {"w": np.array([2, 5], np.float32), "n": np.array([1, 2]), "s": np.array(texts, object)}
    tfbundle.save(tmp_path / "1", little)
    report = average([tmp_path / f"{number}" for number in order], tmp_path / "m", integers="agree")
    assert report.from_last == ()
    found = tfbundle.load(tmp_path / "m")
    assert found["w"].tolist() == [1.5, 1.5]
    assert found["s"].tolist() == texts
    with tfbundle.open(tmp_path / "m") as bundle:
        assert bundle.index.header.byteorder == "little"
    assert tfbundle.verify(tmp_path / "m").ok


def test_checksum_of_string_sizes_across_two_windows(tmp_path: Path) -> None:
    texts = [b""] * (MIB - 2)  # a byte each, so that the checksum after them is cut
    big_endian(tmp_path / "0", [1], texts)
    big_endian(tmp_path / "1", [2], texts)
    average([tmp_path / "0", tmp_path / "1"], tmp_path / "m", integers="agree")
    tfbundle.save(tmp_path / "little", {"s": np.array(texts, object)})
    with tfbundle.open(tmp_path / "m") as mean, tfbundle.open(tmp_path / "little") as little:
        assert mean.payload("s") == little.payload("s")


def test_v1_checkpoints(tmp_path: Path) -> None:
    corpus_root()
    tried = 0
    for item in v1_items():
        values = tfbundle.load(item.prefix)
        if not any(value.dtype == np.float32 for value in values.values()):
            continue
        tfbundle.halve(item.prefix, tmp_path / "v2" / "m", selection=tfbundle.Selection(keep=("*",)))
        report = average([item.prefix, tmp_path / "v2" / "m", item.prefix], tmp_path / "out" / "m", integers="agree")
        dry = average([item.prefix, item.prefix], tmp_path / "no" / "m", options=RunOptions(dry_run=True))
        assert dry.num_tensors == report.num_tensors == len(values)
        found = tfbundle.load(tmp_path / "out" / "m")
        for name, value in values.items():
            expected = numpy_mean([value] * 3) if value.dtype.name in FLOATS else value
            assert np.array_equal(found[name], expected, equal_nan=value.dtype.kind in "fc"), (item.label, name)
        assert sorted(name for name in os.listdir(tmp_path / "out") if not name.startswith("m.")) == ["checkpoint"]
        shutil.rmtree(tmp_path / "out")
        shutil.rmtree(tmp_path / "v2")
        tried += 1
    assert tried >= 3
    assert not (tmp_path / "no").exists()


# Targets, lists, limits.


def test_target_that_exists_or_is_an_input(tmp_path: Path) -> None:
    sources = save_models(tmp_path)
    before = files_of(tmp_path)
    for source in sources:
        with pytest.raises(BundleExistsError, match="the target is the source"):
            average(sources, source, options=RunOptions("replace"))
    tfbundle.save(tmp_path / "m", {"x": np.float32(1)})
    with pytest.raises(BundleExistsError, match="exists already"):
        average(sources, tmp_path / "m")
    average(sources, tmp_path / "m", options=RunOptions("replace"))
    assert len(tfbundle.open(tmp_path / "m")) == 24
    assert {name: data for name, data in files_of(tmp_path).items() if name[:2] != "m."} == before


def test_same_output_every_time(tmp_path: Path) -> None:
    sources = save_models(tmp_path / "in")
    average(sources, tmp_path / "one" / "m")
    average(sources, tmp_path / "two" / "m")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    sources = save_models(tmp_path)
    before = files_of(tmp_path)
    report = average(sources, tmp_path / "out" / "m", options=RunOptions(dry_run=True))
    assert (report.dry_run, report.num_averaged, report.num_tensors) == (True, 20, 24)
    assert [note.split(";")[0] for note in report.notes] == [f"room needed: {report.nbytes} B"]
    assert report.nbytes == sum(info.nbytes for info in tfbundle.open(sources[0]).entries.values())
    assert files_of(tmp_path) == before


def write_state(folder: Path, latest: str, paths: list[str]) -> None:
    lines = [f'model_checkpoint_path: "{latest}"', *(f'all_model_checkpoint_paths: "{path}"' for path in paths)]
    (folder / "checkpoint").write_text("\n".join(lines) + "\n")


def test_newest_of_a_directory(tmp_path: Path) -> None:
    sources = save_models(tmp_path / "in")
    write_state(tmp_path / "in", "model-2", ["model-0", "model-1", "model-2"])
    for place in (tmp_path / "in", tmp_path / "in" / "checkpoint"):
        report = average([place], tmp_path / "out" / "m", last=2, options=RunOptions("replace"))
        assert report.sources == tuple(map(str, sources[1:]))
    assert tfbundle.load(tmp_path / "out" / "m")["step"] == 2
    with pytest.raises(BundleNotFoundError, match="lists 3 checkpoints, not 4"):
        average([tmp_path / "in"], tmp_path / "m", last=4)
    with pytest.raises(ValueError, match="takes one directory"):
        average(sources, tmp_path / "m", last=2)
    with pytest.raises(BundleNotFoundError, match="Couldn't find 'checkpoint' file"):
        average([tmp_path / "out" / "no"], tmp_path / "m", last=2)
    for count in (1, 0, -1):
        with pytest.raises(ValueError, match="at least two checkpoints"):
            average([tmp_path / "in"], tmp_path / "m", last=count)


def test_one_checkpoint_has_no_mean(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two checkpoints"):
        average(save_models(tmp_path, 1), tmp_path / "m")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("other", ["whole", "partitioned"])
def test_peak_does_not_follow_the_size_of_a_tensor(tmp_path: Path, other: str) -> None:
    if other == "whole":
        pair = [write_giant(tmp_path / f"{number}", 256 * MIB) for number in range(2)]
    else:
        pair = [write_giant_partition(tmp_path / f"{axis}", (8192, 8192), 8, axis) for axis in range(2)]
    bare = peak_nbytes(BARE_IMPORTS)
    script = "import tfbundle; tfbundle.average(sys.argv[1:3], sys.argv[3])"
    assert peak_nbytes(script, *pair, tmp_path / "m") - bare <= 24 * MIB
    assert sum(path.stat().st_size for path in tmp_path.glob("m.data-*")) == 256 * MIB


def test_strings_do_not_mix_with_their_neighbours(tmp_path: Path) -> None:
    for number in range(2):
        tensors = [floats("a", [number]), strings("s", [b"x"]), floats("b", [number + 1]), integers("n", [3])]
        HandmadeBundle(tensors).write(tmp_path / f"{number}")
    average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    expected = [floats("a", [0.5]), strings("s", [b"x"]), floats("b", [1.5]), integers("n", [3])]
    files = HandmadeBundle(expected).files()
    assert {name.removeprefix("m"): data for name, data in files_of(tmp_path).items() if name[0] == "m"} == files
