"""What others find in exported files; ``tests/corpus/test_export.py`` does the same with real checkpoints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tfbundle
from tests.support.exported import read_npy_directory, read_safetensors
from tests.support.tensors import byte_names, numbers
from tfbundle import (
    BundleError,
    BundleExistsError,
    CastError,
    CastPolicy,
    ChecksumError,
    ExportOptions,
    Naming,
    RunOptions,
    Selection,
    UnsupportedError,
    export,
    import_tensors,
)
from tfbundle.choosing.names import OBJECT_GRAPH
from tfbundle.format.dtypes import DATA_TYPES

pytest.importorskip("safetensors")

FORMS = ("m.safetensors", "m.npz", "m/")
TENSORS: dict[str, Any] = {
    "net/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "net/b": np.arange(3, dtype=np.float16),
    "step": np.int64(7),
    "flags": np.array([True, False, True]),
    "none": np.zeros((0, 4), np.uint8),
    "z": np.array([1 + 2j], np.complex64),
}


@pytest.fixture
def source(tmp_path: Path) -> str:
    prefix = str(tmp_path / "source" / "model")
    tfbundle.save(prefix, TENSORS)
    return prefix


def read(path: str) -> dict[str, bytes]:
    """Return the bytes of each tensor, as others read them."""
    if path.endswith(".safetensors"):
        return {name: data for name, (_, _, data) in read_safetensors(path).items()}
    if path.endswith(".npz"):
        with np.load(path) as archive:
            return {name: archive[name].tobytes() for name in archive.files}
    return {name: array.tobytes() for name, array in read_npy_directory(path).items()}


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("form", FORMS)
def test_values(form: str, source: str, tmp_path: Path) -> None:
    report = export(source, f"{tmp_path}/{form}")
    assert read(f"{tmp_path}/{form}") == {name: np.asarray(value).tobytes() for name, value in TENSORS.items()}
    assert [os.path.exists(file) for file in report.files] == [True] * len(report.files)
    assert report.target_nbytes == sum(np.asarray(value).nbytes for value in TENSORS.values())
    json.dumps(report.to_dict())


def test_safetensors_for_numpy(source: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    export(source, tmp_path / "m.safetensors")
    found = load_file(tmp_path / "m.safetensors")
    for name, value in TENSORS.items():
        array = np.asarray(value)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)


def test_every_payload_is_aligned(source: str, tmp_path: Path) -> None:
    export(source, tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    for name, entry in json.loads(data[8:start]).items():
        assert (start + entry["data_offsets"][0]) % np.asarray(TENSORS[name]).itemsize == 0


def native_bundle(prefix: str) -> dict[str, bytes]:
    """Write a tensor of every dtype that is no string, and return the bytes."""
    found = {}
    with tfbundle.create(prefix) as writer:
        for dtype in DATA_TYPES.values():
            if dtype.is_memcpy:
                found[dtype.name] = bytes(range(4 * dtype.nbytes)) if dtype.bits == 8 else bytes([0, 1, 2, 3])
                found[dtype.name] = bytes([0, 1, 0, 1]) if dtype.name == "bool" else found[dtype.name]
                writer.add_payload(dtype.name, dtype.name, (2, 2), found[dtype.name])
    return found


LACKING = {"complex128", "int2", "int4", "uint2", "uint4", "float4_e2m1fn", "float8_e4m3b11fnuz"}
LACKING |= {"qint8", "quint8", "qint16", "quint16", "qint32"}


@pytest.mark.parametrize("form", FORMS)
def test_every_dtype_there_and_back(form: str, tmp_path: Path) -> None:
    wanted = native_bundle(f"{tmp_path}/all")
    report = export(f"{tmp_path}/all", f"{tmp_path}/{form}", files=ExportOptions(skip_unsupported=True))
    skipped = {tensor.name for tensor in report.select("drop")}
    assert skipped == (LACKING if form == "m.safetensors" else set())
    import_tensors(f"{tmp_path}/{form}", f"{tmp_path}/back")
    with tfbundle.open(f"{tmp_path}/back") as bundle:
        assert {name: bundle.payload(name) for name in bundle} == {
            name: data for name, data in wanted.items() if name not in skipped
        }
        assert all(bundle.entries[name].dtype == name for name in bundle)


def test_safetensors_dtypes_are_those_of_the_library(tmp_path: Path) -> None:
    import ml_dtypes
    from safetensors.numpy import save

    native_bundle(f"{tmp_path}/all")
    export(f"{tmp_path}/all", f"{tmp_path}/m.safetensors", files=ExportOptions(skip_unsupported=True))
    for name, (dtype, _, _) in read_safetensors(f"{tmp_path}/m.safetensors").items():
        array = np.zeros((2, 2), getattr(ml_dtypes, name, None) or name)
        data = save({"x": array})
        assert f'"dtype":"{dtype}"'.encode() in data, name


def _is_plain(name: str) -> bool:
    """Tell whether a name is neither that of a slice nor that of the object graph, which has to be one."""
    return not name.startswith("\0") and name != OBJECT_GRAPH


@given(st.dictionaries(byte_names.filter(_is_plain), numbers(), max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, NDArray[Any]]) -> None:
    room = tmp_path_factory.mktemp("round")
    tfbundle.save(room / "m", tensors)
    for form in FORMS:
        try:
            report = export(room / "m", f"{room}/{form}", files=ExportOptions(skip_unsupported=True))
        except UnsupportedError as error:
            assert "called" in str(error)
            continue
        import_tensors(f"{room}/{form}", room / "back" / form.strip("/"))
        with tfbundle.open(room / "m") as bundle, tfbundle.open(room / "back" / form.strip("/")) as back:
            kept = [tensor.name for tensor in report.tensors if tensor.action != "drop"]
            assert list(back) == kept
            for name in kept:
                assert (back.entries[name].dtype, back.entries[name].shape) == (
                    bundle.entries[name].dtype,
                    bundle.entries[name].shape,
                )
                assert back.payload(name) == bundle.payload(name)


@pytest.mark.parametrize("form", FORMS)
def test_strings_are_refused_or_skipped(form: str, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "model", {"w": np.ones(2), "s": [b"a"], "t": [b"b"]})
    kind = "npy" if form == "m/" else form[2:]
    with pytest.raises(
        UnsupportedError, match=rf"no string in {kind}: s, t; --skip-unsupported .* leaves such"
    ) as caught:
        export(tmp_path / "model", f"{tmp_path}/{form}")
    assert "\n" not in str(caught.value)
    report = export(tmp_path / "model", f"{tmp_path}/{form}", files=ExportOptions(skip_unsupported=True))
    assert [(tensor.name, tensor.reason) for tensor in report.select("drop")] == [
        ("s", f"no string in {kind}"),
        ("t", f"no string in {kind}"),
    ]
    assert list(read(f"{tmp_path}/{form}")) == ["w"]
    other = export(tmp_path / "model", f"{tmp_path}/other{form}", selection=Selection(drop=("s", "t")))
    assert other.count_reasons("drop") == {"--drop s": 1, "--drop t": 1}


HOSTILE = [
    "../../escape",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "CON",
    "nul.npy",
    "w",
    "W",
    "w~2",
    "a.b",
    "a/b",
    "A/B",
    "-rf",
    ".hidden",
    "x\x1b[2J",
    "\u202e",
    "a\0b",
    "tensors.json",
    "n" * 70_000,
    "n" * 70_001,
    "%s{}",
    "a\\b",
    "\n",
    " ",
]


def test_no_file_is_called_after_a_tensor(tmp_path: Path) -> None:
    tensors = {name: np.full(2, at, np.int32) for at, name in enumerate(HOSTILE)}
    tfbundle.save(tmp_path / "source" / "m", tensors)
    export(tmp_path / "source" / "m", f"{tmp_path}/out/deep/")
    names = names_in(tmp_path / "out")
    assert all(name.startswith("deep/") for name in names)
    assert len({name.lower() for name in names}) == len(HOSTILE) + 1
    assert all(len(name) < 140 and name.isascii() and name.isprintable() for name in names)
    assert names_in(tmp_path) == sorted(
        [f"out/{name}" for name in names] + ["source/m.data-00000-of-00001", "source/m.index"]
    )
    found = read_npy_directory(tmp_path / "out" / "deep")
    assert {name: array.tolist() for name, array in found.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }
    import_tensors(tmp_path / "out" / "deep", tmp_path / "back")
    assert tfbundle.load(tmp_path / "back").keys() == tensors.keys()


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a\\..\\b", "..", "a\0b", "n" * 70_000])
def test_names_that_an_archive_cannot_have(name: str, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {name: np.ones(2)})
    with pytest.raises(UnsupportedError, match=r"a tensor called .* has no place in npz") as caught:
        export(tmp_path / "m", tmp_path / "m.npz")
    assert str(caught.value).isprintable()
    assert caught.value.path == str(tmp_path / "m")
    report = export(tmp_path / "m", tmp_path / "none.npz", files=ExportOptions(skip_unsupported=True))
    assert [(tensor.action, tensor.reason[:20]) for tensor in report.tensors] == [("drop", "no such name in npz:")]
    assert read(str(tmp_path / "none.npz")) == {}
    export(tmp_path / "m", tmp_path / "m.npz", naming=Naming(rename=((name, "w"),)))
    assert list(read(str(tmp_path / "m.npz"))) == ["w"]


@pytest.mark.parametrize("form", FORMS)
def test_names_that_are_no_text(form: str, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w\udcff": np.ones(2)})
    with pytest.raises(
        UnsupportedError, match=r"called 'w\\udcff' has no place in .*: it is no Unicode text; --rename or --drop"
    ):
        export(tmp_path / "m", f"{tmp_path}/{form}")


def test_the_name_of_metadata(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"__metadata__": np.ones(2)})
    with pytest.raises(UnsupportedError, match="the format keeps this name for itself"):
        export(tmp_path / "m", tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("form", "limit"),
    [
        ("m.safetensors", "safetensors_frame.MAX_INDEX_NBYTES"),
        ("m.npz", "npz_frame.MAX_DIRECTORY_NBYTES"),
        ("m/", "npy_frame.MAX_LIST_NBYTES"),
    ],
)
def test_nothing_is_written_that_import_would_not_read(
    form: str, limit: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ExportOptions(8 if form == "m.safetensors" else None)
    monkeypatch.setattr(f"tfbundle.exporters.{limit}", 100)
    with pytest.raises(UnsupportedError, match="bytes, and import reads 100 at most"):
        export(source, f"{tmp_path}/out/{form}", files=files)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("most", [8, 24, 30, 1000])
def test_shards(most: int, source: str, tmp_path: Path) -> None:
    report = export(source, tmp_path / "m.safetensors", files=ExportOptions(most, metadata={"format": "tf"}))
    sizes = {name: np.asarray(value).nbytes for name, value in TENSORS.items()}
    if most == 1000:
        assert report.files == (f"{tmp_path}/m.safetensors",)
        return
    index = json.loads((tmp_path / "m.safetensors.index.json").read_text())
    count = len(report.files) - 1
    assert set(index["weight_map"].values()) == {f"m-{at + 1:05d}-of-{count:05d}.safetensors" for at in range(count)}
    assert index["metadata"] == {"total_size": sum(sizes.values())}
    for file in set(index["weight_map"].values()):
        found = read_safetensors(tmp_path / file)
        assert {name for name, base in index["weight_map"].items() if base == file} == set(found)
        assert len(found) == 1 or sum(len(data) for _, _, data in found.values()) <= most
    back = import_tensors(tmp_path / "m.safetensors.index.json", tmp_path / "back")
    assert back.metadata == {"format": "tf"}
    loaded = tfbundle.load(tmp_path / "back")
    assert all(loaded[name].tobytes() == np.asarray(value).tobytes() for name, value in TENSORS.items())


def test_metadata_there_and_back(source: str, tmp_path: Path) -> None:
    metadata = {"format": "pt", "ä": "\n\u2028", "": "x" * 100_000}
    export(source, tmp_path / "a.safetensors", files=ExportOptions(metadata=metadata))
    report = import_tensors(tmp_path / "a.safetensors", tmp_path / "b")
    assert report.metadata == metadata
    assert "__metadata__" in tfbundle.load(tmp_path / "b")
    export(tmp_path / "b", tmp_path / "c.safetensors", files=ExportOptions(metadata={"format": "tf"}))
    from safetensors import safe_open

    with safe_open(tmp_path / "c.safetensors", "np") as file:
        assert file.metadata() == {**metadata, "format": "tf"}
        assert set(file.keys()) == set(TENSORS)
    assert any("metadata is left out" in note for note in export(tmp_path / "b", tmp_path / "c.npz").notes)
    export(tmp_path / "b", f"{tmp_path}/npy/")
    assert import_tensors(tmp_path / "npy", tmp_path / "d").metadata == metadata
    dropped = import_tensors(tmp_path / "npy", tmp_path / "e", selection=Selection(drop=("__metadata__",)))
    assert "__metadata__" not in tfbundle.load(tmp_path / "e")
    assert ("__metadata__", "--drop __metadata__") in [(tensor.name, tensor.reason) for tensor in dropped.tensors]


def test_metadata_that_is_none(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"__metadata__": b"hello"})
    with pytest.raises(BundleError, match="tensor '__metadata__': no JSON"):
        export(tmp_path / "m", tmp_path / "m.safetensors")
    report = export(tmp_path / "m", tmp_path / "m.safetensors", selection=Selection(drop=("__metadata__",)))
    assert [(tensor.name, tensor.reason) for tensor in report.tensors] == [("__metadata__", "--drop __metadata__")]


def test_what_is_left_out_anyway_may_be_dropped(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {"w": np.ones(2), "v": np.ones(2), "__metadata__": b'{"a": "b"}'}
    tfbundle.save(tmp_path / "m", tensors)
    selection = Selection(drop=("__meta*", "v"))
    export(tmp_path / "m", f"{tmp_path}/some/", selection=selection)
    assert json.loads((tmp_path / "some/tensors.json").read_text())["metadata"] == {}
    assert set(read(f"{tmp_path}/some/")) == {"w"}
    with pytest.raises(ValueError, match="'nobody' matches none of the 3 tensors"):
        export(tmp_path / "m", tmp_path / "m.npz", selection=Selection(drop=("nobody",)))
    export(tmp_path / "m", f"{tmp_path}/chosen/", selection=Selection(select=("w",)))
    assert json.loads((tmp_path / "chosen/tensors.json").read_text())["metadata"] == {"a": "b"}
    graph = Path(__file__).parents[1] / "golden" / "files" / "objects"
    report = export(graph, f"{tmp_path}/graph/", selection=Selection(drop=("_CHECKPOINTABLE_OBJECT_GRAPH",)))
    assert not any("object graph" in note for note in report.notes)


@pytest.mark.parametrize("form", FORMS)
def test_casts(form: str, tmp_path: Path) -> None:
    weights = np.linspace(-3, 3, 500_000, dtype=np.float32)
    tfbundle.save(tmp_path / "m", {"w": weights, "scale": np.ones(3, np.float32), "w/Adam": np.ones(2, np.float32)})
    selection = Selection(keep=("scale",), optimizer="drop")
    report = export(tmp_path / "m", f"{tmp_path}/{form}", policy=CastPolicy("float16"), selection=selection)
    found = read(f"{tmp_path}/{form}")
    assert found == {"w": weights.astype(np.float16).tobytes(), "scale": np.ones(3, np.float32).tobytes()}
    assert report.totals.elements == 500_000


def test_overflow(tmp_path: Path) -> None:
    values = np.array([1, 1e6], np.float32)
    tfbundle.save(tmp_path / "m", {"w": values, "v": values[:1]})
    with pytest.raises(CastError, match="tensor w: 1 value overflows float16"):
        export(tmp_path / "m", tmp_path / "m.npz", policy=CastPolicy("float16"))
    assert not (tmp_path / "m.npz").exists()
    export(tmp_path / "m", tmp_path / "m.npz", policy=CastPolicy("float16", on_overflow="keep"))
    found = read(str(tmp_path / "m.npz"))
    assert found == {"w": values.tobytes(), "v": values[:1].astype(np.float16).tobytes()}


@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.int8])
def test_partitions_are_joined(dtype: Any, tmp_path: Path) -> None:
    whole = np.arange(70 * 5000).reshape(70, 5000).astype(dtype)
    with tfbundle.create(tmp_path / "m") as writer:
        for start, size in ((30, 40), (0, 30)):
            writer.add_slice("w", whole[start : start + size], shape=whole.shape, extents=((start, size), (0, -1)))
        for start, size in ((0, 1), (1, 4999)):
            writer.add_slice("v", whole[:, start : start + size], shape=whole.shape, extents=((0, -1), (start, size)))
    report = export(tmp_path / "m", tmp_path / "m.npz")
    assert read(str(tmp_path / "m.npz")) == {"w": whole.tobytes(), "v": whole.tobytes()}
    assert "2 partitioned tensors are joined" in report.notes


def test_missing_slices(tmp_path: Path) -> None:
    with tfbundle.create(tmp_path / "m") as writer:
        writer.add_slice("w", np.ones((1, 3)), shape=(2, 3), extents=((0, 1), (0, -1)))
    with pytest.raises(BundleError, match="sufficient slices") as caught:
        export(tmp_path / "m", tmp_path / "m.npz")
    assert "--slices" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_existing_files(form: str, source: str, tmp_path: Path) -> None:
    target = f"{tmp_path}/{form}"
    export(source, target)
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    with pytest.raises(BundleExistsError, match=r"exists already; --force"):
        export(source, target)
    replace = RunOptions("replace")
    export(source, target, selection=Selection(select=("net/*",)), options=replace)
    assert set(read(target)) == {"net/w", "net/b"}
    export(source, target, options=replace)
    assert {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)} == before


def test_one_file_and_several_replace_each_other(source: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    target, replace = folder / "m.safetensors", RunOptions("replace")
    export(source, target)
    with pytest.raises(BundleExistsError, match=r"m\.safetensors: exists"):
        export(source, target, files=ExportOptions(30))
    export(source, target, files=ExportOptions(30), options=replace)
    several = names_in(folder)
    assert "m.safetensors" not in several
    with pytest.raises(BundleExistsError, match=r"index\.json: exists"):
        export(source, target)
    (folder / "m-extra.safetensors").write_text("another's")
    export(source, target, files=ExportOptions(8), options=replace)
    assert len(names_in(folder)) > len(several) + 1
    export(source, target, options=replace)
    assert names_in(folder) == ["m-extra.safetensors", "m.safetensors"]


def test_files_that_are_not_ours_stay(source: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "other.npy").write_text("mine")
    export(source, folder)
    export(source, folder, selection=Selection(select=("step",)), options=RunOptions("replace"))
    assert names_in(folder) == ["notes.txt", "other.npy", "step.npy", "tensors.json"]


def test_a_list_that_names_files_elsewhere_removes_nothing(source: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "victim.npy").write_text("mine")
    (folder / "tensors.json").write_text(json.dumps({"tensors": {"x": {"file": "../victim.npy"}}}))
    export(source, folder, options=RunOptions("replace"))
    assert (tmp_path / "victim.npy").exists()


LEFT = {
    "m.safetensors": ("m.safetensors", "m-00001-of-00007.safetensors", "m.safetensors.index.json"),
    "m.npz": ("m.npz",),
    "m/": ("m/net.w.npy", "m/tensors.json", "m"),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_killed_export_left_is_named(form: str, source: str, tmp_path: Path) -> None:
    target = f"{tmp_path}/{form}"
    export(source, target)
    assert not any(".tmp-" in note for note in export(source, target, options=RunOptions("replace")).notes)
    for path in LEFT[form]:
        left = tmp_path / f"{path}.tmp-17-c0ffee00"
        left.write_text("cut off")
        notes = export(source, target, options=RunOptions("replace")).notes
        expected = f"left behind by an interrupted run: {left}; nothing reads them, and they can go"
        assert [note for note in notes if ".tmp-" in note] == [expected]
        left.unlink()
    for path in ("m.index", "other.npz", "m-1.safetensors", "n.safetensors"):
        (tmp_path / f"{path}.tmp-17-c0ffee00").write_text("another's")
    assert not any(".tmp-" in note for note in export(source, target, options=RunOptions("replace")).notes)


@pytest.mark.parametrize("form", FORMS)
def test_damage_leaves_nothing(form: str, source: str, tmp_path: Path) -> None:
    data = Path(f"{source}.data-00000-of-00001")
    damaged = bytearray(data.read_bytes())
    damaged[3] ^= 1
    data.write_bytes(damaged)
    with pytest.raises(ChecksumError):
        export(source, f"{tmp_path}/out/{form}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMS)
def test_dry_run_writes_nothing(form: str, source: str, tmp_path: Path) -> None:
    report = export(source, f"{tmp_path}/out/{form}", options=RunOptions(dry_run=True))
    assert report.dry_run
    assert not (tmp_path / "out").exists()
    assert any("room needed" in note for note in report.notes)


def test_a_file_of_the_source_is_not_replaced(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.ones(2)})
    os.link(tmp_path / "m.index", tmp_path / "m.npz")
    with pytest.raises(BundleExistsError, match="the target is the source"):
        export(tmp_path / "m", tmp_path / "m.npz", options=RunOptions("replace"))


def test_a_file_of_the_source_is_not_removed(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.ones(2), "v": np.ones(2)})
    os.link(tmp_path / "m.index", tmp_path / "m.safetensors")  # where one file would give way to several
    with pytest.raises(BundleExistsError, match="the target is the source"):
        export(tmp_path / "m", tmp_path / "m.safetensors", files=ExportOptions(16), options=RunOptions("replace"))


def test_wrong_use(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="says no kind of file"):
        export(source, tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="is for safetensors"):
        export(source, tmp_path / "m.npz", files=ExportOptions(10))
    with pytest.raises(ValueError, match="like is for checkpoints"):
        export(source, tmp_path / "m.npz", selection=Selection(like="x"))
    with pytest.raises(ValueError, match="expected one of"):
        ExportOptions(names="nicknames")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too small"):
        ExportOptions(0)
    with pytest.raises(ValueError, match="would both be called x"):
        export(source, tmp_path / "m.npz", naming=Naming(map={"net/w": "x", "net/b": "x"}))


def test_names_of_paths_that_collide(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w/.ATTRIBUTES/VARIABLE_VALUE": np.ones(2), "w": np.ones(2)})
    with pytest.raises(ValueError, match="would both be called w"):
        export(tmp_path / "m", tmp_path / "m.npz", files=ExportOptions(names="paths"))


def test_more_dimensions_than_numpy_has(tmp_path: Path) -> None:
    with tfbundle.create(tmp_path / "m") as writer:
        writer.add_payload("w", "int8", (1,) * 100, b"\7")
    with pytest.raises(UnsupportedError, match=r"more than \d+ dimensions: w"):
        export(tmp_path / "m", tmp_path / "m.npz")
    export(tmp_path / "m", tmp_path / "m.safetensors")
    assert read_safetensors(tmp_path / "m.safetensors") == {"w": ("I8", (1,) * 100, b"\7")}
    import_tensors(tmp_path / "m.safetensors", tmp_path / "back")
    with tfbundle.open(tmp_path / "back") as bundle:
        assert bundle.payload("w") == b"\7"


@pytest.mark.parametrize("form", FORMS)
def test_the_files_do_not_depend_on_the_number_of_workers(form: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    tfbundle.save(tmp_path / "m", {f"t{at}": generator.random(3_000_000, np.float32) for at in range(12)})
    written = []
    for jobs in (1, 2):
        target = f"{tmp_path}/{jobs}{form}"
        report = export(tmp_path / "m", target, options=RunOptions(jobs=jobs))
        written.append([Path(path).read_bytes() for path in report.files])
    assert written[0] == written[1]
