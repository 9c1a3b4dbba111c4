from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.corpus import v2_items
from tests.support.handmade import (
    FLOAT32,
    FLOAT64,
    HandmadeBundle,
    HandmadeTensor,
    all_below,
    bundle_files,
    files_of,
    flip,
    floats,
    integers,
    numpy_clamp,
    string_scalar,
    strings,
)
from tests.support.requirements import corpus_root
from tests.support.tables import masked_crc, write_table
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle import (
    BundleExistsError,
    BundleNotFoundError,
    CastError,
    CastPolicy,
    ChecksumError,
    FormatError,
    RunOptions,
    Selection,
    TruncatedError,
    halve,
)
from tfbundle.storage.local_stage import LocalStagedFile

REPLACE = RunOptions(if_exists="replace")
DRY = RunOptions(dry_run=True)

BUNDLE = HandmadeBundle(
    [
        floats("z/kernel", np.linspace(-3, 3, 50)),
        strings("labels", [b"cat", b"dog", b""]),
        floats("a/bias", [1, 2, 3], shard=1, gap=7),
        integers("step", [5]),
        floats("empty", [], shard=1),
    ],
    2,
)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return BUNDLE.write(tmp_path / "source" / "model")


class Meddler:
    """A progress that does something to the files in the middle of the run."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle

    def start(self, nbytes: int) -> None:
        pass

    def advance(self, nbytes: int) -> None:
        self.meddle()

    def finish(self) -> None:
        pass


# What is written.


def test_result(source: str, tmp_path: Path) -> None:
    report = halve(source, tmp_path / "half" / "model")
    assert bundle_files(tmp_path / "half" / "model") == BUNDLE.halved().files()
    assert files_of(tmp_path / "source") == {f"model{suffix}": data for suffix, data in BUNDLE.files().items()}
    assert report.source_nbytes == sum(len(tensor.payload) for tensor in BUNDLE.tensors)
    assert report.target_nbytes == sum(len(tensor.payload) for tensor in BUNDLE.halved().tensors)
    assert {tensor.name: tensor.action for tensor in report.tensors} == {
        "z/kernel": "cast",
        "labels": "copy",
        "a/bias": "cast",
        "step": "copy",
        "empty": "cast",
    }


def test_bundle_without_tensors(tmp_path: Path) -> None:
    bundle = HandmadeBundle([])
    halve(bundle.write(tmp_path / "source"), tmp_path / "half")
    assert bundle_files(tmp_path / "half") == bundle.files()


def test_drop(source: str, tmp_path: Path) -> None:
    report = halve(source, tmp_path / "half", selection=Selection(drop=("labels", "a/*")))
    assert bundle_files(tmp_path / "half") == BUNDLE.halved(drop={"labels", "a/bias"}).files()
    assert {tensor.name for tensor in report.select("drop")} == {"labels", "a/bias"}


def test_unknown_fields_are_kept(tmp_path: Path) -> None:
    extra = varint_field(100, 7) + bytes_field(101, b"kept")
    tensors = [floats("cast", [1, 2], extra=extra), integers("copied", [3], extra=extra)]
    bundle = HandmadeBundle(tensors, header_extra=extra)
    halve(bundle.write(tmp_path / "source"), tmp_path / "half")
    assert bundle_files(tmp_path / "half") == bundle.halved().files()


def test_names_of_dimensions_are_kept(tmp_path: Path) -> None:
    shape = bytes_field(2, varint_field(1, 2) + bytes_field(2, b"batch"))
    crc = int.from_bytes(masked_crc(bytes(16)), "little")
    row = entry_proto(FLOAT64, shape, 16, crc)
    header = HandmadeBundle([]).header
    index = write_table([(b"", header), (b"w", row)])
    (tmp_path / "source.index").write_bytes(index)
    (tmp_path / "source.data-00000-of-00001").write_bytes(bytes(16))
    halve(tmp_path / "source", tmp_path / "half")
    assert (tmp_path / "half.index").read_bytes() == index


def variant(name: bytes, elements: list[bytes]) -> HandmadeTensor:
    covered, stored = b"", b""
    for element in elements:
        covered += struct.pack("<Q", len(element)) + element
        crc = masked_crc(covered)
        stored += bytes([len(element)]) + element + crc
        covered += crc
    return HandmadeTensor(name, 21, (len(elements),), stored, crc=int.from_bytes(masked_crc(covered), "little"))


def test_variant_is_copied(tmp_path: Path) -> None:
    bundle = HandmadeBundle([variant(b"list", [b"one", b"", b"three"]), floats("w", [1])])
    halve(bundle.write(tmp_path / "source"), tmp_path / "half")
    assert bundle_files(tmp_path / "half") == bundle.halved().files()


def test_optimizer_state_by_default(tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats(name, [1e-9]) for name in ("w", "w/Adam", "w/Adam_1", "beta1_power", "v/Adam")])
    report = halve(bundle.write(tmp_path / "source"), tmp_path / "half")
    assert bundle_files(tmp_path / "half") == bundle.halved({"w", "v/Adam"}).files()
    assert report.optimizer_nbytes == 12


def test_optimizer_state_by_the_object_graph(tmp_path: Path) -> None:
    """A root with a model (node 1: key ``m``) and an optimizer (node 2) with a slot (node 3: key ``s``)."""
    child = bytes_field(1, varint_field(1, 1) + bytes_field(2, b"model"))
    other = bytes_field(1, varint_field(1, 2) + bytes_field(2, b"thing"))
    slot = bytes_field(3, varint_field(1, 1) + bytes_field(2, b"momentum") + varint_field(3, 3))
    nodes = [child + other, bytes_field(2, bytes_field(3, b"m")), slot, bytes_field(2, bytes_field(3, b"s"))]
    graph = b"".join(bytes_field(1, node) for node in nodes)
    bundle = HandmadeBundle([floats("m", [1]), floats("s", [2]), string_scalar("_CHECKPOINTABLE_OBJECT_GRAPH", graph)])
    halve(bundle.write(tmp_path / "source"), tmp_path / "half")
    assert bundle_files(tmp_path / "half") == bundle.halved({"m"}).files()


# Where it is read from and written to.


def test_source_by_every_path_to_it(source: str, tmp_path: Path) -> None:
    Path(source).with_name("checkpoint").write_text('model_checkpoint_path: "model"')
    expected = BUNDLE.halved().files()
    paths = [f"{source}.index", f"{source}.data-00001-of-00002", os.path.dirname(source), f"{source[:-5]}checkpoint"]
    for number, path in enumerate(paths):
        assert halve(path, tmp_path / f"half{number}").source == source
        assert bundle_files(tmp_path / f"half{number}") == expected


def test_relative_paths(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "source")
    halve("model", "half")
    assert bundle_files(tmp_path / "source" / "half") == BUNDLE.halved().files()
    assert not (tmp_path / "source" / "checkpoint").exists()


@pytest.mark.parametrize(
    ("target", "prefix"),
    [
        ("new/", "new/model"),
        ("there", "there/model"),
        ("there/other", "there/other"),
        ("deep/er/x.index", "deep/er/x"),
        ("name.with.dots-1.5", "name.with.dots-1.5"),
        ("b[r]a*c?k", "b[r]a*c?k"),
    ],
)
def test_target(source: str, tmp_path: Path, target: str, prefix: str) -> None:
    (tmp_path / "there").mkdir()
    assert halve(source, f"{tmp_path}/{target}").target == f"{tmp_path}/{prefix}"
    assert bundle_files(tmp_path / prefix) == BUNDLE.halved().files()


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00002", ".data-00001-of-00002"])
def test_target_that_exists(source: str, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"half{suffix}").write_bytes(b"precious")
    before = files_of(tmp_path)
    with pytest.raises(BundleExistsError, match=rf"half{suffix}: exists already; --force"):
        halve(source, tmp_path / "half")
    assert files_of(tmp_path) == before


def link_symbolically(source: str, target: str) -> None:
    for suffix in BUNDLE.files():
        os.symlink(source + suffix, target + suffix)


def link_hard(source: str, target: str) -> None:
    for suffix in BUNDLE.files():
        os.link(source + suffix, target + suffix)


def link_one_shard(source: str, target: str) -> None:
    os.link(f"{source}.data-00001-of-00002", f"{target}.data-00001-of-00002")


@pytest.mark.parametrize("link", [link_symbolically, link_hard, link_one_shard])
@pytest.mark.parametrize("options", [RunOptions(), REPLACE, DRY], ids=["plain", "replace", "dry run"])
def test_target_that_is_a_link_to_the_source(
    source: str, tmp_path: Path, link: Callable[[str, str], None], options: RunOptions
) -> None:
    link(source, str(tmp_path / "link"))
    before = files_of(tmp_path)
    with pytest.raises(BundleExistsError, match="the target is the source"):
        halve(source, tmp_path / "link", options=options)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("spelling", ["model", "model.index", "../source/model", "./", "."])
def test_target_that_is_the_source(source: str, tmp_path: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "source")
    before = files_of(tmp_path)
    with pytest.raises(BundleExistsError, match="the target is the source"):
        halve(source, spelling, options=REPLACE)
    assert files_of(tmp_path) == before


def test_replacing_another_bundle(source: str, tmp_path: Path) -> None:
    target = tmp_path / "half" / "model"
    HandmadeBundle([floats("old", [1], shard=2)], 3).write(target)
    neighbour = HandmadeBundle([floats("w", [1])]).write(tmp_path / "half" / "model-2")
    halve(source, target, options=REPLACE)
    assert bundle_files(target) == BUNDLE.halved().files()
    assert len(os.listdir(tmp_path / "half")) == 1 + 3 + 2
    assert tfbundle.verify(neighbour).ok


def test_replacing_a_link_leaves_what_it_points_to(source: str, tmp_path: Path) -> None:
    elsewhere = HandmadeBundle([floats("w", [1])]).write(tmp_path / "elsewhere" / "model")
    before = files_of(tmp_path / "elsewhere")
    os.symlink(f"{elsewhere}.index", tmp_path / "half.index")
    halve(source, tmp_path / "half", options=REPLACE)
    assert files_of(tmp_path / "elsewhere") == before
    assert bundle_files(tmp_path / "half") == BUNDLE.halved().files()


# What is refused; nothing may be left of it.


def check_refused(error: type[Exception], match: str, source: Any, folder: Path, **options: Any) -> Exception:
    """Check that a run fails, in a new directory and over an existing bundle, and changes nothing."""
    old = folder / "old" / "bundle"
    HandmadeBundle([floats("old", [1, 2])], 2).write(old)
    before = files_of(folder), all_below(folder)
    run = options.pop("options", RunOptions())
    with pytest.raises(error, match=match):
        halve(source, folder / "new" / "deeper" / "half", options=run, **options)
    assert (files_of(folder), all_below(folder)) == before
    replacing = RunOptions("replace", run.jobs, run.dry_run, run.progress)
    with pytest.raises(error, match=match) as caught:
        halve(source, old, options=replacing, **options)
    assert (files_of(folder), all_below(folder)) == before
    return caught.value


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize(
    ("shard", "offset", "tensor"),
    [
        (0, 0, "z/kernel"),
        (0, 199, "z/kernel"),
        (1, 7, "a/bias"),
        (1, 18, "a/bias"),
        (0, 207, "labels"),
        (0, 217, "step"),
    ],
)
def test_flipped_byte(source: str, tmp_path: Path, jobs: int, shard: int, offset: int, tensor: str) -> None:
    flip(f"{source}.data-0000{shard}-of-00002", offset)
    error = check_refused(ChecksumError, f"tensor '{tensor}'", source, tmp_path, options=RunOptions(jobs=jobs))
    assert error.args[1].startswith(source)


@pytest.mark.parametrize("offset", range(200, 207))
def test_flipped_byte_in_the_lengths_of_strings(source: str, tmp_path: Path, offset: int) -> None:
    flip(f"{source}.data-00000-of-00002", offset, 0x83)
    check_refused(FormatError, "tensor 'labels'", source, tmp_path)


def test_flipped_byte_in_a_gap(source: str, tmp_path: Path) -> None:
    flip(f"{source}.data-00001-of-00002", 3)
    halve(source, tmp_path / "half")
    assert bundle_files(tmp_path / "half") == BUNDLE.halved().files()


def test_wrong_checksum_of_no_bytes(tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats("w", [1]), floats("empty", [], crc=1)])
    check_refused(ChecksumError, "tensor 'empty'", bundle.write(tmp_path / "source"), tmp_path)


def test_truncated_shard(source: str, tmp_path: Path) -> None:
    os.truncate(f"{source}.data-00000-of-00002", 100)
    check_refused(TruncatedError, "tensor 'z/kernel': Read less bytes than requested", source, tmp_path)


def test_missing_shard(source: str, tmp_path: Path) -> None:
    os.remove(f"{source}.data-00001-of-00002")
    check_refused(BundleNotFoundError, "data-00001-of-00002: No such file or directory", source, tmp_path)


def test_missing_source(source: str, tmp_path: Path) -> None:
    check_refused(
        BundleNotFoundError, "Failed to find any matching files.* model$", tmp_path / "source" / "modle", tmp_path
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_source_that_changes_meanwhile(source: str, tmp_path: Path, jobs: int) -> None:
    data = f"{source}.data-00001-of-00002"
    before = all_below(tmp_path)

    def touch() -> None:
        os.utime(data, ns=(1, 1))

    with pytest.raises(FormatError, match="changed while it was read"):
        halve(source, tmp_path / "new" / "half", options=RunOptions(jobs=jobs, progress=Meddler(touch)))
    assert all_below(tmp_path) == before


def test_target_that_appears_meanwhile(source: str, tmp_path: Path) -> None:
    def appear() -> None:
        (tmp_path / "half.index").write_bytes(b"precious")

    with pytest.raises(BundleExistsError, match="appeared"):
        halve(source, tmp_path / "half", options=RunOptions(progress=Meddler(appear)))
    assert all_below(tmp_path) == [
        "half.index",
        "source",
        *(f"source/model{suffix}" for suffix in sorted(BUNDLE.files())),
    ]
    assert (tmp_path / "half.index").read_bytes() == b"precious"


OVERFLOWING = HandmadeBundle([floats("fine", [1, 65504]), floats("big", [7e4, -8e4, np.inf]), floats("bad", [65520])])


def test_overflow_is_refused(tmp_path: Path) -> None:
    source = OVERFLOWING.write(tmp_path / "source")
    message = r"tensor big: 2 values overflow float16, largest magnitude 80000 .*1 more.*: bad"
    check_refused(CastError, message, source, tmp_path)


def test_overflow_to_infinity(tmp_path: Path) -> None:
    report = halve(OVERFLOWING.write(tmp_path / "source"), tmp_path / "half", policy=CastPolicy(on_overflow="inf"))
    assert bundle_files(tmp_path / "half") == OVERFLOWING.halved().files()
    assert report.totals.overflow == 3


def test_overflow_clamped(tmp_path: Path) -> None:
    halve(OVERFLOWING.write(tmp_path / "source"), tmp_path / "half", policy=CastPolicy(on_overflow="clamp"))
    assert bundle_files(tmp_path / "half") == OVERFLOWING.halved(how=numpy_clamp).files()
    assert tfbundle.load(tmp_path / "half")["big"].tolist() == [65504, -65504, np.inf]


def test_overflow_in_a_tensor_that_is_kept(tmp_path: Path) -> None:
    halve(OVERFLOWING.write(tmp_path / "source"), tmp_path / "half", selection=Selection(keep=("b*",)))
    assert bundle_files(tmp_path / "half") == OVERFLOWING.halved({"fine"}).files()


def test_overlapping_payloads(source: str, tmp_path: Path) -> None:
    crc = int.from_bytes(masked_crc(bytes(8)), "little")
    rows = [(name, entry_proto(FLOAT32, shape_proto(2), 8, crc, offset)) for name, offset in ((b"a", 0), (b"b", 4))]
    (tmp_path / "two.index").write_bytes(write_table([(b"", HandmadeBundle([]).header), *rows]))
    (tmp_path / "two.data-00000-of-00001").write_bytes(bytes(12))
    check_refused(
        FormatError, "two: tensor 'b': payload starts at 4, within that of tensor 'a'", tmp_path / "two", tmp_path
    )


def test_pattern_that_matches_nothing(source: str, tmp_path: Path) -> None:
    check_refused(ValueError, "matches none of the 5 tensors", source, tmp_path, selection=Selection(keep=("nope",)))


def test_no_jobs() -> None:
    with pytest.raises(ValueError, match="jobs is 0"):
        RunOptions(jobs=0)


@pytest.mark.parametrize("jobs", [1, 2])
def test_full_disk(source: str, tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_at(self: LocalStagedFile, offset: int, data: object) -> None:
        raise OSError(28, "No space left on device", self.path)

    monkeypatch.setattr(LocalStagedFile, "write_at", write_at)
    check_refused(OSError, "No space left on device", source, tmp_path, options=RunOptions(jobs=jobs))


def test_failing_rename(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def fail_at_index(old: str, new: str) -> None:
        if new.endswith(".index"):
            raise OSError(5, "Input/output error", new)
        rename(old, new)

    monkeypatch.setattr(os, "rename", fail_at_index)
    before = all_below(tmp_path)
    with pytest.raises(OSError, match="Input/output error"):
        halve(source, tmp_path / "new" / "half")
    assert all_below(tmp_path) == before


def test_interrupt_just_after_a_file_was_made(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_file = os.open

    def open_and_interrupt(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = open_file(path, flags, mode)
        if flags & os.O_CREAT:
            os.close(descriptor)
            raise KeyboardInterrupt
        return descriptor

    monkeypatch.setattr(os, "open", open_and_interrupt)
    before = all_below(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        halve(source, tmp_path / "new" / "half")
    assert all_below(tmp_path) == before


def test_interrupt_just_after_a_directory_was_made(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def make_and_interrupt(path: str, mode: int = 0o777) -> None:
        make(path, mode)
        raise KeyboardInterrupt

    before = all_below(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", make_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            halve(source, tmp_path / "new" / "half")
    assert all_below(tmp_path) == before


@pytest.mark.parametrize("suffix", BUNDLE.files())
def test_interrupt_just_after_a_file_was_published(
    source: str, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing, or all of it, but never an index without its data."""
    rename = os.rename

    def rename_and_interrupt(old: str, new: str) -> None:
        rename(old, new)
        if new.endswith(suffix):
            raise KeyboardInterrupt

    before = all_below(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            halve(source, tmp_path / "new" / "half")
    assert all_below(tmp_path) == before or bundle_files(tmp_path / "new" / "half") == BUNDLE.halved().files()


def test_directory_that_is_a_file(source: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    before = all_below(tmp_path)
    with pytest.raises(OSError, match=r"file"):
        halve(source, tmp_path / "file" / "half")
    assert all_below(tmp_path) == before


@pytest.mark.parametrize("item", [item for item in v2_items() if item.directory.endswith("index_only")] or [None])
def test_index_without_data(item: Any, tmp_path: Path) -> None:
    if item is None:
        corpus_root()
        return
    check_refused(BundleNotFoundError, "No such file or directory", item.prefix, tmp_path)


# Dry runs.


def test_dry_run_says_what_a_run_does(source: str, tmp_path: Path) -> None:
    before = all_below(tmp_path)
    selection = Selection(keep=("a/*",), drop=("step",))
    planned = halve(source, tmp_path / "new" / "half", selection=selection, options=DRY)
    assert all_below(tmp_path) == before
    done = halve(source, tmp_path / "new" / "half", selection=selection)
    assert planned.dry_run
    assert not done.dry_run
    assert (planned.source_nbytes, planned.target_nbytes) == (done.source_nbytes, done.target_nbytes)
    assert planned.target == done.target
    without_stats = [(tensor.name, tensor.action, tensor.reason, tensor.target_nbytes) for tensor in done.tensors]
    assert [(t.name, t.action, t.reason, t.target_nbytes) for t in planned.tensors] == without_stats
    assert all(tensor.stats is None for tensor in planned.tensors)


def test_dry_run_reads_no_payload(source: str, tmp_path: Path) -> None:
    for number in range(2):
        data = Path(f"{source}.data-0000{number}-of-00002")
        data.write_bytes(bytes(data.stat().st_size))
    assert halve(source, tmp_path / "half", options=DRY).dry_run
    with pytest.raises(FormatError):
        halve(source, tmp_path / "half")
