"""Checkpoints of what others wrote; ``test_npz_source`` and ``test_safetensors_header`` have files made to do harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfbundle
from tests.support.exported import safetensors_bytes
from tfbundle import (
    BundleError,
    BundleExistsError,
    BundleNotFoundError,
    FormatError,
    ImportOptions,
    Layout,
    Naming,
    RunOptions,
    Selection,
    UnsupportedError,
    import_tensors,
)

pytest.importorskip("safetensors")

TENSORS: dict[str, Any] = {
    "net.w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "net.b": np.arange(3).astype(ml_dtypes.bfloat16),
    "f8": np.arange(4).astype(ml_dtypes.float8_e4m3fn),
    "f8_5": np.arange(4).astype(ml_dtypes.float8_e5m2),
    "step": np.int64(7),
    "flags": np.array([True, False, True]),
    "none": np.zeros((0, 4), np.uint8),
    "z": np.array([1 + 2j], np.complex64),
    "u": np.array([2**63], np.uint64),
    "": np.zeros(1, np.int8),
}


def as_written(value: Any) -> tuple[str, tuple[int, ...], bytes]:
    array = np.asarray(value)
    return array.dtype.name, array.shape, array.tobytes()


def found(prefix: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    with tfbundle.open(prefix) as bundle:
        return {name: (bundle.entries[name].dtype, bundle.entries[name].shape, bundle.payload(name)) for name in bundle}


def test_what_the_safetensors_library_saves(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.asarray(value) for name, value in TENSORS.items()}, tmp_path / "m.safetensors", {"a": "b"})
    with pytest.raises(UnsupportedError, match="no tensor of a checkpoint can be called ''; --rename or --drop it"):
        import_tensors(tmp_path / "m.safetensors", tmp_path / "m")
    report = import_tensors(tmp_path / "m.safetensors", tmp_path / "m", selection=Selection(drop=("re:^$",)))
    wanted = {name: as_written(value) for name, value in TENSORS.items() if name}
    read = found(tmp_path / "m")
    assert read.pop("__metadata__")[0] == "string"
    assert read == wanted
    assert report.metadata == {"a": "b"}
    json.dumps(report.to_dict())


def write_shards(folder: Path, **changes: Any) -> Path:
    """Write two files and their index, as others do."""
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    save_file({"a": np.arange(3), "b": np.ones(2)}, folder / "m-00001-of-00002.safetensors", {"format": "pt", "x": "1"})
    save_file({"c": np.arange(5)}, folder / "m-00002-of-00002.safetensors", {"format": "pt", "x": "2"})
    places = {"a": 1, "b": 1, "c": 2}
    index = {name: f"m-{number:05d}-of-00002.safetensors" for name, number in places.items()}
    path = folder / "m.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 80}, "weight_map": {**index, **changes}}))
    return path


@pytest.mark.parametrize("by", ["index", "directory"])
def test_several_files(by: str, tmp_path: Path) -> None:
    index = write_shards(tmp_path / "in")
    report = import_tensors(index if by == "index" else index.parent, f"{tmp_path}/out/")
    assert report.target == f"{tmp_path}/out/m"
    assert [tensor.name for tensor in report.tensors] == ["a", "b", "c"]
    assert report.metadata == {"format": "pt", "x": "1"}
    assert any("metadata 'x' is another in m-00002-of-00002.safetensors" in note for note in report.notes)
    assert tfbundle.latest(tmp_path / "out") == f"{tmp_path}/out/m"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"c": "../m-00002-of-00002.safetensors"}, FormatError, "expected the name of a .safetensors file beside it"),
        ({"c": "/etc/passwd"}, FormatError, "expected the name of a .safetensors file beside it"),
        ({"c": "m\0.safetensors"}, FormatError, "expected the name of a .safetensors file beside it"),
        ({"c": 7}, FormatError, "file 7, expected the name"),
        ({"c": "gone.safetensors"}, BundleNotFoundError, "gone.safetensors: No such file"),
        ({"c": "m-00001-of-00002.safetensors"}, FormatError, "'c': is not in m-00001-of-00002.safetensors"),
        ({"d": "m-00002-of-00002.safetensors"}, FormatError, "'d': is not in m-00002-of-00002.safetensors"),
        ({"b": "m-00002-of-00002.safetensors"}, FormatError, "'b': the index does not say that it is in m-00001"),
    ],
)
def test_an_index_that_lies(changes: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path) -> None:
    index = write_shards(tmp_path / "in", **changes)
    with pytest.raises(kind) as caught:
        import_tensors(index, tmp_path / "m")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"weight_map": []}',
        '{"weight_map": {}, "weight_map": {}}',
        '{"weight_map": {"a": NaN}}',
        '{"weight_map": {"\\ud800": "a.safetensors"}}',
        '{"x": ' + "9" * 5000 + "}",
    ],
)
@pytest.mark.parametrize("name", ["m.safetensors.index.json", "tensors.json"])
def test_lists_that_are_none(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError) as caught:
        import_tensors(tmp_path, tmp_path / "m")
    assert str(caught.value).startswith(f"{tmp_path}/{name}: ")
    assert "\n" not in str(caught.value)


def test_giant_lists_are_not_read(tmp_path: Path) -> None:
    for name in ("m.safetensors.index.json", "tensors.json"):
        os.truncate(os.open(tmp_path / name, os.O_CREAT | os.O_RDWR), 1 << 40)
        with pytest.raises(FormatError, match="1099511627776 bytes are too many"):
            import_tensors(tmp_path, tmp_path / "m")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file": "../w.npy"}, "expected the name of a .npy file beside it"),
        ({"file": "/etc/w.npy"}, "expected the name of a .npy file beside it"),
        ({"file": ".npy"}, "expected the name of a .npy file beside it"),
        ({"file": "w.txt"}, "expected the name of a .npy file beside it"),
        ({"file": None}, "expected the name of a .npy file beside it"),
        ({}, "expected the name of a .npy file beside it"),
        ("w.npy", "expected the name of a .npy file beside it"),
        ({"file": "v.npy"}, "v.npy: No such file or directory"),
        ({"file": "w.npy", "dtype": "float64"}, "cannot be taken for float64"),
        ({"file": "cut.npy"}, "cut.npy: an array of float32 takes 12 bytes, 11 are there"),
        ({"file": "long.npy"}, "long.npy: an array of float32 takes 12 bytes, 13 are there"),
        ({"file": "pipe.npy"}, "pipe.npy: not a regular file"),
    ],
)
def test_lists_of_arrays_that_lie(entry: object, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "w.npy", np.arange(3, dtype=np.float32))
    data = (folder / "w.npy").read_bytes()
    (folder / "cut.npy").write_bytes(data[:-1])
    (folder / "long.npy").write_bytes(data + b"x")
    os.mkfifo(folder / "pipe.npy")
    (folder / "tensors.json").write_text(json.dumps({"tensors": {"w": entry}}))
    with pytest.raises(BundleError) as caught:
        import_tensors(folder, tmp_path / "m")
    assert message in str(caught.value)


def test_a_file_that_two_tensors_have(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.ones(2))
    (tmp_path / "tensors.json").write_text(json.dumps({"tensors": {name: {"file": "w.npy"} for name in "ab"}}))
    with pytest.raises(FormatError, match=r"tensor 'b': file 'w\.npy' is that of 'a' already"):
        import_tensors(tmp_path, tmp_path / "m")


def test_arrays_without_a_list(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "conv.w.npy", np.asfortranarray(np.arange(6).reshape(2, 3)))
    np.save(folder / "b.npy", np.arange(3, dtype=">f4"))
    import_tensors(folder, tmp_path / "m", naming=Naming(rename=(("re:\\.", "/"),)))
    loaded = tfbundle.load(tmp_path / "m")
    assert {name: value.tolist() for name, value in loaded.items()} == {
        "b": [0, 1, 2],
        "conv/w": [[0, 1, 2], [3, 4, 5]],
    }
    import_tensors(folder / "b.npy", tmp_path / "one")
    assert tfbundle.load(tmp_path / "one")["b"].tolist() == [0, 1, 2]


def test_what_an_interrupted_export_left_is_not_taken_for_whole(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.ones(2), "v": np.zeros(2)})
    tfbundle.export(tmp_path / "m", f"{tmp_path}/list/")
    os.rename(tmp_path / "list/tensors.json", tmp_path / "list/tensors.json.tmp-17-c0ffee00")
    with pytest.raises(BundleNotFoundError, match=r"export did not finish; .*tensors\.json\.tmp-17-c0ffee00"):
        import_tensors(tmp_path / "list", tmp_path / "out")
    tfbundle.export(tmp_path / "m", tmp_path / "shards/m.safetensors", files=tfbundle.ExportOptions(16))
    os.unlink(tmp_path / "shards/m.safetensors.index.json")
    os.unlink(tmp_path / "shards/m-00001-of-00002.safetensors")
    with pytest.raises(BundleNotFoundError, match=r"m-00002-of-00002\.safetensors is one of several, .*index"):
        import_tensors(tmp_path / "shards", tmp_path / "out")
    assert list(import_tensors(tmp_path / "shards/m-00002-of-00002.safetensors", tmp_path / "out").tensors)


def test_what_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="no safetensors"):
        import_tensors(tmp_path, tmp_path / "m")
    with pytest.raises(BundleNotFoundError, match="No such file"):
        import_tensors(tmp_path / "gone.safetensors", tmp_path / "m")
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_bytes(safetensors_bytes({}))
    with pytest.raises(BundleNotFoundError, match=r"several files to import; give one of a\.safetensors, b"):
        import_tensors(tmp_path, tmp_path / "m")
    (tmp_path / "lfs.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(FormatError, match="Git LFS pointer"):
        import_tensors(tmp_path / "lfs.safetensors", tmp_path / "m")
    for name in ("no.npz", "no.npy", "no.safetensors"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(FormatError):
            import_tensors(tmp_path / name, tmp_path / "m")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    np.savez(tmp_path / "m.npz", a=np.arange(10), b=np.ones((3, 4), np.float32), c=np.float16(1))
    return tmp_path / "m.npz"


def test_choice_and_names(source: Path, tmp_path: Path) -> None:
    report = import_tensors(
        source,
        tmp_path / "m",
        selection=Selection(select=("[ab]",), drop=("b",)),
        naming=Naming(map={"a": "x/y"}),
    )
    assert list(tfbundle.load(tmp_path / "m")) == ["x/y"]
    assert {tensor.name: (tensor.target_name, tensor.reason) for tensor in report.tensors} == {
        "a": ("x/y", ""),
        "b": ("", "--drop b"),
        "c": ("", "not in --select"),
    }
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"selection": Selection(drop=("d",))}, "--drop d matches none|matches no"),
        ({"selection": Selection(keep=("a",))}, "an import casts nothing"),
        ({"naming": Naming(map={"a": "x", "b": "x"})}, "would both be called x"),
        ({"naming": Naming(map={"a": ""})}, "it leaves no name"),
        ({"naming": Naming(map={"a": "_CHECKPOINTABLE_OBJECT_GRAPH"})}, "only the object graph has this name"),
        ({"files": ImportOptions(dtypes=(("d", "int8"),))}, "match"),
    ]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            import_tensors(source, tmp_path / "n", **options)


def test_shards(source: Path, tmp_path: Path) -> None:
    report = import_tensors(source, tmp_path / "m", layout=Layout(max_shard_nbytes=100))
    assert report.num_shards == 2
    assert tfbundle.verify(tmp_path / "m").ok
    assert import_tensors(source, tmp_path / "n", layout=Layout(shards=3)).num_shards == 3
    assert tfbundle.diff(tmp_path / "m", tmp_path / "n").equal


def test_existing_targets(source: Path, tmp_path: Path) -> None:
    import_tensors(source, tmp_path / "m")
    with pytest.raises(BundleExistsError, match="--force"):
        import_tensors(source, tmp_path / "m")
    np.savez(source, a=np.ones(2))
    import_tensors(source, tmp_path / "m", options=RunOptions("replace"))
    assert list(tfbundle.load(tmp_path / "m")) == ["a"]
    os.link(source, tmp_path / "n.index")
    with pytest.raises(BundleExistsError, match="is a file of the source"):
        import_tensors(source, tmp_path / "n", options=RunOptions("replace"))
    os.link(source, tmp_path / "m.data-00001-of-00002")  # would go with the checkpoint that is replaced
    with pytest.raises(BundleExistsError, match="is a file of the source"):
        import_tensors(source, tmp_path / "m", options=RunOptions("replace"))


def test_dry_run(source: Path, tmp_path: Path) -> None:
    report = import_tensors(source, tmp_path / "out" / "m", options=RunOptions(dry_run=True))
    assert (report.dry_run, report.nbytes) == (True, 10 * 8 + 12 * 4 + 2)
    assert not (tmp_path / "out").exists()


def test_a_file_that_changes_meanwhile(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfbundle.exporters.storing import plan_storing

    def plan_and_change(*arguments: Any) -> Any:
        os.utime(source, ns=(1, 1))
        return plan_storing(*arguments)

    monkeypatch.setattr("tfbundle.exporters.import_tensors.plan_storing", plan_and_change)
    with pytest.raises(FormatError, match="the file changed while it was read"):
        import_tensors(source, tmp_path / "out" / "m")
    assert not (tmp_path / "out").exists()


def test_no_room(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfbundle.storage.local import LocalStorage

    monkeypatch.setattr(LocalStorage, "free_nbytes", lambda *_: 10)
    with pytest.raises(OSError, match="No space left on device"):
        import_tensors(source, tmp_path / "out" / "m")
