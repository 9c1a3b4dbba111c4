from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfbundle
from tests.support.bundles import entry_of, write_bundle
from tests.support.handmade import (
    FLOAT32,
    HandmadeBundle,
    HandmadeTensor,
    all_below,
    bundle_files,
    files_of,
    flip,
    floats,
    integers,
    string_scalar,
    strings,
)
from tests.support.partitions import Piece, partitioned_bundle
from tests.support.tables import assemble_table, plain_block
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle import (
    BundleExistsError,
    BundleNotFoundError,
    FormatError,
    Layout,
    RunOptions,
    SalvageReport,
    UnsupportedError,
    salvage,
)
from tfbundle.format.object_graph import decode_object_graph
from tfbundle.format.ordered_code import encode_slice_key

BUNDLE = HandmadeBundle(
    [
        floats("a/kernel", np.arange(20)),
        strings("labels", [b"cat", b"", b"dog"]),
        integers("step", [5], gap=3),
        floats("b/bias", [1, 2], shard=1),
        floats("odd", [4], shard=1, extra=b"\x4a\x01x"),
    ],
    2,
)
SHARDS = (".data-00000-of-00002", ".data-00001-of-00002")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return BUNDLE.write(tmp_path / "source" / "model")


def lost(report: SalvageReport) -> dict[str, str]:
    """Return the kind of each loss by tensor."""
    assert len({damage.tensor for damage in report.lost}) == len(report.lost)
    assert report.ok == (not report.lost and not report.lost_blocks)
    return {damage.tensor: damage.kind for damage in report.lost}


def values_of(report: SalvageReport) -> dict[str, Any]:
    """Return the values that were saved, as lists."""
    return {name: value.tolist() for name, value in tfbundle.load(report.target).items()}


def check_saved(report: SalvageReport, bundle: HandmadeBundle = BUNDLE) -> None:
    """Check that the result has every byte of the tensors that are not lost, and nothing else."""
    assert bundle_files(report.target) == bundle.halved((), lost(report)).files()
    assert report.num_tensors == len(bundle.tensors) - len(report.lost)
    assert tfbundle.verify(report.target).ok


def test_sound(source: str, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    report = salvage(source, tmp_path / "saved" / "model")
    check_saved(report)
    assert report.ok
    assert (report.num_tensors, report.num_shards, report.nbytes, report.hint) == (5, 2, 80 + 13 + 8 + 8 + 4, "")
    assert {name: data for name, data in files_of(tmp_path).items() if name in before} == before
    assert tfbundle.latest(tmp_path / "saved") == str(tmp_path / "saved" / "model")


@pytest.mark.parametrize(
    ("shard", "offset", "tensor"), [(0, 0, "a/kernel"), (0, 79, "a/kernel"), (0, 85, "labels"), (1, 9, "odd")]
)
def test_flipped_byte(source: str, tmp_path: Path, shard: int, offset: int, tensor: str) -> None:
    flip(source + SHARDS[shard], offset)
    report = salvage(source, tmp_path / "saved")
    check_saved(report)
    assert list(lost(report)) == [tensor]
    assert f"{source}{SHARDS[shard]}: tensor '{tensor}'" in report.lost[0].message


@given(st.data())
def test_whatever_bytes_change(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Each tensor is lost just when one of its bytes has changed."""
    folder = tmp_path_factory.mktemp("salvage")
    source = BUNDLE.write(folder / "model")
    changed = set()
    for _ in range(data.draw(st.integers(1, 3))):
        shard = data.draw(st.integers(0, 1))
        offset = data.draw(st.integers(0, os.path.getsize(source + SHARDS[shard]) - 1))
        if (shard, offset) in changed:
            continue
        changed.add((shard, offset))
        flip(source + SHARDS[shard], offset, data.draw(st.integers(1, 255)))
    expected = {
        tensor.name.decode()
        for tensor in BUNDLE.tensors
        for shard, offset in changed
        if shard == tensor.shard and 0 <= offset - BUNDLE.offsets[tensor.name] < len(tensor.payload)
    }
    report = salvage(source, folder / "saved")
    assert set(lost(report)) == expected
    check_saved(report)


@pytest.mark.parametrize("nbytes", [0, 79, 80, 92, 100])
def test_truncated_data(source: str, tmp_path: Path, nbytes: int) -> None:
    os.truncate(source + SHARDS[0], nbytes)
    report = salvage(source, tmp_path / "saved")
    check_saved(report)
    ends = {"a/kernel": 80, "labels": 93, "step": 104}
    assert lost(report) == {name: "TruncatedError" for name, end in ends.items() if end > nbytes}


def test_missing_data_file(source: str, tmp_path: Path) -> None:
    os.remove(source + SHARDS[0])
    report = salvage(source, tmp_path / "saved")
    assert lost(report) == dict.fromkeys(("a/kernel", "labels", "step"), "BundleNotFoundError")
    assert "a data file is missing" in report.hint
    assert report.num_shards == 1
    assert sorted(bundle_files(report.target)) == [".data-00000-of-00001", ".index"]
    rest = HandmadeBundle([floats("b/bias", [1, 2]), floats("odd", [4], extra=b"\x4a\x01x")])
    assert tfbundle.load(report.target).keys() == {"b/bias", "odd"}
    assert bundle_files(report.target)[".data-00000-of-00001"] == rest.files()[".data-00000-of-00001"]
    assert tfbundle.verify(report.target).ok


def test_data_of_another_step(source: str, tmp_path: Path) -> None:
    other = [floats("a/kernel", np.arange(20) + 1), BUNDLE.tensors[1], integers("step", [6], gap=3)]
    later = HandmadeBundle([*other, floats("b/bias", [3, 4], shard=1), BUNDLE.tensors[4]], 2).write(tmp_path / "later")
    for shard in SHARDS:
        os.replace(later + shard, source + shard)
    report = salvage(source, tmp_path / "saved")
    check_saved(report)
    assert list(lost(report)) == ["a/kernel", "b/bias", "step"]
    assert "different steps" in report.hint


def rows_of(bundle: HandmadeBundle) -> list[tuple[bytes, bytes]]:
    """Return the rows of the index of a bundle that was written."""
    return [
        (b"", bundle.header),
        *sorted((each.name, each.placed(bundle.offsets[each.name])) for each in bundle.tensors),
    ]


def rewrite_index(source: str, damaged: dict[bytes, bytes]) -> None:
    """Write the index anew with other entries."""
    rows = dict(rows_of(BUNDLE)[1:])
    shards = [Path(source + shard).read_bytes() for shard in SHARDS]
    write_bundle(source, {**rows, **damaged}, shards)


@pytest.mark.parametrize(
    "entry",
    [
        b"\xff",
        entry_proto(999, shape_proto(2), 8, 1, 0, 1),
        entry_proto(FLOAT32, shape_proto(3), 8, 1, 0, 1),
        entry_proto(FLOAT32, shape_proto(2), 8, 1, 1 << 40, 1),
        entry_proto(FLOAT32, shape_proto(2), 8, 1, 0, 77),
    ],
    ids=["no entry", "dtype", "size", "offset", "shard"],
)
def test_damaged_entry(source: str, tmp_path: Path, entry: bytes) -> None:
    rewrite_index(source, {b"b/bias": entry})
    report = salvage(source, tmp_path / "saved")
    check_saved(report)
    assert list(lost(report)) == ["b/bias"]


def write_blocks(source: str, damage: int | None = None) -> None:
    """Write the index anew with two rows in each block, one of which may be damaged."""
    rows = [
        (b"", BUNDLE.header),
        *sorted((each.name, each.placed(BUNDLE.offsets[each.name])) for each in BUNDLE.tensors),
    ]
    blocks = [(rows[at + 1][0], plain_block(rows[at : at + 2])) for at in range(0, 6, 2)]
    if damage is not None:
        blocks[damage] = (blocks[damage][0], b"?" * 8)
    Path(f"{source}.index").write_bytes(assemble_table(blocks))


def test_damaged_block_of_the_index(source: str, tmp_path: Path) -> None:
    write_blocks(source, 1)
    report = salvage(source, tmp_path / "saved")
    assert not report.ok
    assert not report.lost
    assert [f"{source}.index: block 1: " in message for message in report.lost_blocks] == [True]
    expected = BUNDLE.halved((), ("b/bias", "labels")).files()
    assert bundle_files(report.target) == expected


def test_index_that_is_lost(source: str, tmp_path: Path) -> None:
    write_blocks(source, 0)
    before = all_below(tmp_path)
    with pytest.raises(FormatError, match="block 0"):
        salvage(source, tmp_path / "new" / "saved")
    os.truncate(f"{source}.index", 60)
    with pytest.raises(FormatError, match="bad magic number"):
        salvage(source, tmp_path / "new" / "saved")
    assert all_below(tmp_path) == before


VALUES = np.arange(24, dtype=np.float32).reshape(6, 4)
PIECES = [Piece(((at, 2), (0, 4)), np.s_[at : at + 2, 0:4]) for at in (0, 2, 4)]


def partitioned(prefix: Path) -> str:
    """A plain tensor, and a partitioned one in three shards."""
    bundle = partitioned_bundle("w", VALUES, FLOAT32, PIECES, [0, 1, 2])
    return HandmadeBundle([*bundle.tensors, floats("plain", [1, 2])], 3).write(prefix)


def test_sound_slices(tmp_path: Path) -> None:
    source = partitioned(tmp_path / "m")
    report = salvage(source, tmp_path / "saved")
    assert report.ok
    assert report.num_tensors == 2
    assert np.array_equal(tfbundle.load(tmp_path / "saved")["w"], VALUES)
    assert bundle_files(tmp_path / "saved") == bundle_files(source)


@pytest.mark.parametrize("how", ["flip", "remove", "truncate"])
@pytest.mark.parametrize("shard", [1, 2])
def test_lost_slice(tmp_path: Path, how: str, shard: int) -> None:
    source = partitioned(tmp_path / "m")
    path = f"{source}.data-{shard:05d}-of-00003"
    damage: dict[str, Any] = {"flip": lambda: flip(path, 5), "remove": lambda: os.remove(path)}
    damage.get(how, lambda: os.truncate(path, 9))()
    report = salvage(source, tmp_path / "saved")
    assert list(lost(report)) == ["w"]
    expected = f"shard {shard} of 3" if how == "remove" else f"tensor 'w', slice {2 * shard},2:0,4"
    assert expected in report.lost[0].message
    assert values_of(report) == {"plain": [1, 2]}
    assert list(tfbundle.open(tmp_path / "saved").index) == [b"plain"]
    assert report.nbytes == 8


def test_slices_of_a_slice_are_lost_with_it(tmp_path: Path) -> None:
    """Damage makes a slice look partitioned; what would be its own slices is no tensor."""
    inner = partitioned_bundle("w", VALUES, FLOAT32, PIECES, [0] * 3)
    outer = inner.tensors[1].name
    nested = encode_slice_key(outer, ((0, 2), (0, -1)))
    extra = bytes_field(7, bytes_field(1, varint_field(2, 2)) + bytes_field(1, b""))
    tensors = [each if each.name != outer else replace(each, extra=extra) for each in inner.tensors]
    part = HandmadeTensor(nested, FLOAT32, (2, 4), VALUES[:2].tobytes())
    source = HandmadeBundle([*tensors, part, floats("x", [1])]).write(tmp_path / "m")
    report = salvage(source, tmp_path / "saved")
    assert list(lost(report)) == ["w"]
    assert list(tfbundle.open(tmp_path / "saved").index) == [b"x"]


@pytest.mark.parametrize("whole", [b"\xff", None], ids=["damaged", "missing"])
def test_slices_without_their_tensor(tmp_path: Path, whole: bytes | None) -> None:
    bundle = HandmadeBundle([*partitioned_bundle("w", VALUES, FLOAT32, PIECES, [0] * 3).tensors, floats("x", [1])])
    source = bundle.write(tmp_path / "m")
    rows = [
        (b"", bundle.header),
        *sorted((each.name, each.placed(bundle.offsets[each.name])) for each in bundle.tensors),
    ]
    blocks = [(key, plain_block([(key, whole if key == b"w" and whole else value)])) for key, value in rows]
    if whole is None:
        blocks = [(key, b"?" if key == b"w" else contents) for key, contents in blocks]
    Path(f"{source}.index").write_bytes(assemble_table(blocks))
    report = salvage(source, tmp_path / "saved")
    assert list(lost(report)) == ["w"]
    assert list(tfbundle.open(tmp_path / "saved").index) == [b"x"]


def test_overlap(tmp_path: Path) -> None:
    """Every row that matches its checksum is kept, whatever it shares."""
    data = np.arange(4, dtype="<f4").tobytes()
    rows = {
        b"a": entry_of(FLOAT32, shape_proto(2), data[:8]),
        b"b": entry_of(FLOAT32, shape_proto(2), data[4:12], 4),
        b"c": entry_of(FLOAT32, shape_proto(2), b"other bytes"[:8], 8),
    }
    write_bundle(str(tmp_path / "m"), rows, [data])
    report = salvage(tmp_path / "m", tmp_path / "saved")
    assert lost(report) == {"c": "ChecksumError"}
    assert {name: value.tolist() for name, value in tfbundle.load(tmp_path / "saved").items()} == {
        "a": [0, 1],
        "b": [1, 2],
    }
    assert tfbundle.verify(tmp_path / "saved").ok


def test_big_endian(tmp_path: Path) -> None:
    tensors = [HandmadeTensor(name, FLOAT32, (2,), np.array([1, 2], ">f4").tobytes()) for name in (b"a", b"b")]
    source = HandmadeBundle(tensors, header_extra=varint_field(2, 1)).write(tmp_path / "m")
    flip(f"{source}.data-00000-of-00001", 0)
    report = salvage(source, tmp_path / "saved")
    assert list(lost(report)) == ["a"]
    assert tfbundle.load(tmp_path / "saved")["b"].tolist() == [1, 2]


# The object graph.

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def graph_proto() -> bytes:
    """A root with children ``a`` and ``b``, each with a value."""
    children = b"".join(
        bytes_field(1, varint_field(1, at) + bytes_field(2, name)) for at, name in ((1, b"a"), (2, b"b"))
    )
    nodes = [children]
    for name in "ab":
        attribute = (
            bytes_field(1, b"VARIABLE_VALUE")
            + bytes_field(2, name.encode())
            + bytes_field(3, f"{name}{VALUE}".encode())
        )
        nodes.append(bytes_field(2, attribute))
    return b"".join(bytes_field(1, node) for node in nodes)


def tf2_bundle(prefix: Path, graph: bytes) -> str:
    tensors = [floats(f"a{VALUE}", [1, 2]), floats(f"b{VALUE}", [3]), string_scalar(GRAPH, graph)]
    return HandmadeBundle(tensors).write(prefix)


def test_object_graph_loses_what_is_lost(tmp_path: Path) -> None:
    source = tf2_bundle(tmp_path / "m", graph_proto())
    assert bundle_files(salvage(source, tmp_path / "whole").target) == bundle_files(source)
    flip(f"{source}.data-00000-of-00001", 8)
    report = salvage(source, tmp_path / "saved")
    assert list(lost(report)) == [f"b{VALUE}"]
    graph = decode_object_graph(tfbundle.load(tmp_path / "saved")[GRAPH].item())
    assert [node.checkpoint_keys for node in graph] == [(), (f"a{VALUE}",), ()]
    assert tfbundle.verify(tmp_path / "saved").ok


def test_object_graph_that_is_lost(tmp_path: Path) -> None:
    source = tf2_bundle(tmp_path / "m", graph_proto())
    flip(f"{source}.data-00000-of-00001", 30)
    report = salvage(source, tmp_path / "saved")
    assert list(lost(report)) == [GRAPH]
    assert any("the object graph is lost" in note for note in report.notes)


def test_object_graph_that_is_none(tmp_path: Path) -> None:
    source = tf2_bundle(tmp_path / "m", b"\xff\xff")
    flip(f"{source}.data-00000-of-00001", 0)
    report = salvage(source, tmp_path / "saved")
    assert any("could not be understood" in note for note in report.notes)
    assert tfbundle.load(tmp_path / "saved")[GRAPH].item() == b"\xff\xff"


def test_object_graph_that_lists_nothing_lost_stays_byte_for_byte(tmp_path: Path) -> None:
    """Even in an encoding that no writer would choose."""
    child = bytes_field(2, b"a") + varint_field(1, 1)  # its fields turned around
    graph = bytes_field(1, bytes_field(1, child)) + bytes_field(1, b"")
    source = tf2_bundle(tmp_path / "m", graph)
    flip(f"{source}.data-00000-of-00001", 0)
    report = salvage(source, tmp_path / "saved")
    assert tfbundle.load(report.target)[GRAPH].item() == graph
    assert not any("graph" in note for note in report.notes)


@pytest.mark.parametrize("tensor", [floats(GRAPH, [1]), strings(GRAPH, [graph_proto(), b""]), strings(GRAPH, [])])
def test_object_graph_of_another_kind(tmp_path: Path, tensor: HandmadeTensor) -> None:
    source = HandmadeBundle([floats(f"b{VALUE}", [3]), floats("a", [1]), tensor]).write(tmp_path / "m")
    flip(f"{source}.data-00000-of-00001", 0)
    report = salvage(source, tmp_path / "saved")
    assert any("could not be understood" in note for note in report.notes)
    assert bundle_files(report.target) == HandmadeBundle([floats("a", [1]), tensor]).files()


@given(st.data())
def test_whatever_changes_in_the_index(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """No value is wrong, and no tensor is taken for another: what is saved is what was there."""
    folder = tmp_path_factory.mktemp("salvage")
    source = BUNDLE.write(folder / "model")
    write_blocks(source)
    originals = {name: value.tolist() for name, value in tfbundle.load(source).items()}
    last = os.path.getsize(f"{source}.index") - 1
    flip(f"{source}.index", data.draw(st.integers(0, last)), data.draw(st.integers(1, 255)))
    try:
        report = salvage(source, folder / "saved")
    except FormatError:
        assert not (folder / "saved.index").exists()
        return
    saved = values_of(report)
    assert saved == {name: originals[name] for name in saved}
    assert report.ok == (len(saved) == len(originals))


# How it runs.


def test_nothing_left(source: str, tmp_path: Path) -> None:
    for shard in SHARDS:
        os.remove(source + shard)
    before = all_below(tmp_path)
    with pytest.raises(
        FormatError, match=r"no tensor is left to save; the first of 5 errors: .*a data file is missing"
    ):
        salvage(source, tmp_path / "new" / "saved")
    assert all_below(tmp_path) == before


def test_bundle_without_tensors(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no tensor is left to save"):
        salvage(HandmadeBundle([]).write(tmp_path / "m"), tmp_path / "saved")


def test_dry_run(source: str, tmp_path: Path) -> None:
    flip(source + SHARDS[0], 0)
    before = files_of(tmp_path)
    report = salvage(source, tmp_path / "new" / "saved", options=RunOptions(dry_run=True))
    assert report.dry_run
    assert list(lost(report)) == ["a/kernel"]
    assert (report.num_tensors, report.nbytes) == (4, 13 + 8 + 8 + 4)
    assert files_of(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_target_that_exists(source: str, tmp_path: Path) -> None:
    saved = HandmadeBundle([floats("old", [1])]).write(tmp_path / "saved")
    before = files_of(tmp_path)
    with pytest.raises(BundleExistsError, match="--force"):
        salvage(source, saved)
    with pytest.raises(BundleExistsError, match="the target is the source"):
        salvage(source, source, options=RunOptions("replace"))
    assert files_of(tmp_path) == before
    check_saved(salvage(source, saved, options=RunOptions("replace")))


def test_shards_and_workers(source: str, tmp_path: Path) -> None:
    flip(source + SHARDS[0], 0)
    report = salvage(source, tmp_path / "saved", layout=Layout(shards=1), options=RunOptions(jobs=2))
    assert report.num_shards == 1
    assert list(tfbundle.load(tmp_path / "saved")) == ["b/bias", "labels", "odd", "step"]


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        salvage(tmp_path / "missing", tmp_path / "saved")
    (tmp_path / "text").write_text("no checkpoint")
    with pytest.raises(UnsupportedError):
        salvage(tmp_path / "text", tmp_path / "saved")


def test_plain_data(source: str, tmp_path: Path) -> None:
    flip(source + SHARDS[0], 0)
    plain = salvage(source, tmp_path / "saved").to_dict()
    assert (plain["ok"], plain["num_tensors"], plain["lost"][0]["tensor"]) == (False, 4, "a/kernel")


def test_bytes_that_the_disk_does_not_give_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first kilobyte of the data file cannot be read: what lies there is lost, the rest is saved."""
    bundle = HandmadeBundle([floats("w", np.arange(300)), floats("b", [3]), floats("c", [4])])
    prefix = bundle.write(tmp_path / "model")
    read = os.preadv

    def preadv(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset < 1000 and os.fstat(descriptor).st_size == 1208:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    report = salvage(prefix, tmp_path / "saved", options=RunOptions(jobs=1))
    assert [damage.message for damage in report.lost] == [
        f"{prefix}.data-00000-of-00001: tensor 'w': cannot be read: Input/output error"
    ]
    assert {name: value.tolist() for name, value in tfbundle.load(tmp_path / "saved").items()} == {"b": [3], "c": [4]}
