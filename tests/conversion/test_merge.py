from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import HandmadeBundle, files_of, flip, floats, strings
from tests.support.requirements import corpus_root, tensorflow
from tfbundle import BundleExistsError, ChecksumError, FormatError, Layout, RunOptions, UnsupportedError, merge
from tfbundle.storage.local import LocalStorage


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def save_parts(tf: Any, folder: Path, count: int) -> list[str]:
    """Let TensorFlow write the parts of a sharded save: whole tensors, strings, and slices of a common tensor."""
    folder.mkdir()
    random = np.random.default_rng(count)
    prefixes = []
    for number in range(count):
        prefix = str(folder / f"part-{number:05d}-of-{count:05d}")
        tensors = {f"v{number}/{size}": random.normal(size=(3, size)).astype(np.float32) for size in (1, 2)}
        tensors |= {"common": random.normal(size=(2, 5)).astype(np.float32), f"s{number}": np.array([b"a" * number])}
        slices = [f"{2 * count} 5 {2 * number},2:0,5" if name == "common" else "" for name in tensors]
        tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=list(tensors), shape_and_slices=slices, tensors=list(tensors.values())
        )
        prefixes.append(prefix)
    return prefixes


def merge_with_tensorflow(tf: Any, prefixes: list[str], target: Path) -> dict[str, bytes]:
    """Merge copies, since TensorFlow takes its inputs apart."""
    copies = target.parent / "copies"
    shutil.copytree(Path(prefixes[0]).parent, copies)
    target.parent.mkdir(exist_ok=True)
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(copies / Path(prefix).name) for prefix in prefixes],
        destination_prefix=str(target),
        delete_old_dirs=False,
    )
    shutil.rmtree(copies)
    return files_of(target.parent)


def merged(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(folder).items() if name != "checkpoint"}


@pytest.mark.parametrize("count", [1, 2, 5, 20])
@pytest.mark.parametrize("files", ["copy", "link", "move"])
def test_bytes_of_tensorflow(tf: Any, tmp_path: Path, count: int, files: Any) -> None:
    prefixes = save_parts(tf, tmp_path / "m_temp", count)
    expected = merge_with_tensorflow(tf, prefixes, tmp_path / "tf" / "m")
    inputs = files_of(tmp_path / "m_temp")
    report = merge(prefixes, tmp_path / "ours" / "m", files=files)
    assert merged(tmp_path / "ours") == expected
    assert files_of(tmp_path / "m_temp") == ({} if files == "move" else inputs)
    assert (report.num_shards, report.num_tensors) == (count, 3 * count + 1)


def test_directory_of_an_unfinished_save(tf: Any, tmp_path: Path) -> None:
    prefixes = save_parts(tf, tmp_path / "m_temp", 3)
    merge([tmp_path / "m_temp"], tmp_path / "one" / "m")
    merge(prefixes, tmp_path / "two" / "m")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize("pair", [("merged01", "merged02"), ("merged02", "merged05"), ("merged05", "merged20")])
def test_corpus_items_split_and_merged_again(tf: Any, tmp_path: Path, pair: tuple[str, str]) -> None:
    """Two halves of a checkpoint make the checkpoint."""
    source = corpus_root() / "synth" / "raw_merge_shards" / pair[1]
    names = list(tfbundle.open(source))
    left, right = names[::2], names[1::2]
    for target, drop in ((tmp_path / "parts" / "a", right), (tmp_path / "parts" / "b", left)):
        selection = tfbundle.Selection(keep=tuple(set(names) - set(drop)), drop=tuple(drop))
        tfbundle.halve(source, target, selection=selection, layout=Layout(shards=2))
    merge([tmp_path / "parts" / "a", tmp_path / "parts" / "b"], tmp_path / "whole")
    expected = merge_with_tensorflow(tf, [str(tmp_path / "parts" / name) for name in "ab"], tmp_path / "tf" / "whole")
    ours = {name: (tmp_path / name).read_bytes() for name in expected if name != "checkpoint"}
    assert ours == {name: data for name, data in expected.items() if name != "checkpoint"}
    assert tfbundle.verify(tmp_path / "whole").ok
    assert list(tfbundle.open(tmp_path / "whole")) == names


def test_other_shards(tf: Any, tmp_path: Path) -> None:
    prefixes = save_parts(tf, tmp_path / "parts", 4)
    merge(prefixes, tmp_path / "m")
    for layout in (Layout(shards=1), Layout(shards=7), Layout(max_shard_nbytes=64)):
        merge(prefixes, tmp_path / "r", layout=layout, options=RunOptions("replace"))
        reader, plain = (tf.train.load_checkpoint(str(tmp_path / name)) for name in "rm")
        for name in plain.get_variable_to_shape_map():
            assert np.array_equal(reader.get_tensor(name), plain.get_tensor(name)), name


def save_pair(folder: Path, second: str = "b") -> list[Path]:
    tfbundle.save(folder / "1", {"a": np.ones(2, np.float32)})
    tfbundle.save(folder / "2", {second: np.ones(3, np.float32)})
    return [folder / "1", folder / "2"]


def test_same_tensor_twice(tf: Any, tmp_path: Path) -> None:
    pair = save_pair(tmp_path, "a")
    before = files_of(tmp_path)
    with pytest.raises(FormatError, match="Duplicate tensor keyed by a encountered, when merging prefix"):
        merge(pair, tmp_path / "m")
    assert files_of(tmp_path) == before
    with pytest.raises(tf.errors.InvalidArgumentError, match="Duplicate tensor keyed by a encountered"):
        tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=list(map(str, pair)), destination_prefix=str(tmp_path / "m"))


@pytest.mark.parametrize("order", [1, -1])
def test_slices_do_not_mix_with_a_whole_tensor(tmp_path: Path, order: int) -> None:
    pair = save_pair(tmp_path, "x")
    with tfbundle.create(tmp_path / "3") as writer:
        writer.add_slice("a", np.ones(1, np.float32), shape=(2,), extents=((0, 1),))
    with pytest.raises(
        FormatError, match="Duplicate tensor keyed by a; attempting to merge in a non-slice bundle entry"
    ):
        merge([pair[0], tmp_path / "3"][::order], tmp_path / "m")


def test_slices_that_disagree(tmp_path: Path) -> None:
    for name, shape in (("1", (2,)), ("2", (3,))):
        with tfbundle.create(tmp_path / name) as writer:
            writer.add_slice("w", np.ones(1, np.float32), shape=shape, extents=((int(name) - 1, 1),))
    with pytest.raises(FormatError, match=r"slices of w are float32 \[2\] in one bundle and float32 \[3\] in another"):
        merge([tmp_path / "1", tmp_path / "2"], tmp_path / "m")


def test_byte_orders_do_not_mix(tmp_path: Path) -> None:
    from tests.support.bundles import entry_of, write_bundle
    from tests.support.wire import shape_proto

    payload = bytes(4)
    write_bundle(
        str(tmp_path / "big"),
        {b"b": entry_of(1, shape_proto(1), payload)},
        [payload],
        bytes.fromhex("080110011a020801"),
    )
    tfbundle.save(tmp_path / "little", {"l": np.ones(1, np.float32)})
    with pytest.raises(FormatError, match="conflicting endianness"):
        merge([tmp_path / "big", tmp_path / "little"], tmp_path / "m")


@pytest.mark.parametrize("files", ["copy", "link", "move"])
def test_damaged_input_leaves_everything_as_it_was(tmp_path: Path, files: Any) -> None:
    pair = save_pair(tmp_path)
    flip(tmp_path / "2.data-00000-of-00001", 5)
    before = files_of(tmp_path)
    with pytest.raises(ChecksumError):
        merge(pair, tmp_path / "out" / "m", files=files)
    assert files_of(tmp_path) == before


def test_target_that_exists_or_is_an_input(tmp_path: Path) -> None:
    pair = save_pair(tmp_path)
    with pytest.raises(BundleExistsError, match="the target is the source"):
        merge(pair, tmp_path / "2", options=RunOptions("replace"))
    merge(pair, tmp_path / "m")
    with pytest.raises(BundleExistsError, match="exists already"):
        merge(pair, tmp_path / "m")
    merge(pair, tmp_path / "m", files="link", options=RunOptions("replace"))
    assert list(tfbundle.open(tmp_path / "m")) == ["a", "b"]


def test_impossible_requests(tmp_path: Path) -> None:
    pair = save_pair(tmp_path)
    with pytest.raises(ValueError, match="At least one prefix"):
        merge([], tmp_path / "m")
    with pytest.raises(ValueError, match="files is 'burn'"):
        merge(pair, tmp_path / "m", files="burn")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="only copied data can be laid out anew"):
        merge(pair, tmp_path / "m", files="link", layout=Layout(shards=1))
    v1 = corpus_root() / "synth" / "raw_v1_save_and_saveslices" / "save.v1"
    with pytest.raises(UnsupportedError, match="V1 checkpoint"):
        merge([v1], tmp_path / "m")


@pytest.mark.parametrize("files", ["copy", "link", "move"])
def test_shards_of_the_replaced_bundle_go(tmp_path: Path, files: Any) -> None:
    pair = save_pair(tmp_path / "in")
    tfbundle.halve(pair[0], tmp_path / "out" / "m", layout=Layout(shards=5))
    merge(pair, tmp_path / "out" / "m", files=files, options=RunOptions("replace"))
    shards = [name for name in files_of(tmp_path / "out") if ".data-" in name]
    assert shards == ["m.data-00000-of-00002", "m.data-00001-of-00002"]
    assert list(tfbundle.open(tmp_path / "out" / "m")) == ["a", "b"]


@pytest.mark.parametrize("files", ["copy", "link", "move"])
def test_slices_that_overlap(tmp_path: Path, files: Any) -> None:
    for number in range(2):
        with tfbundle.create(tmp_path / f"{number}") as writer:
            writer.add_slice("w", np.ones(2, np.float32), shape=(4,), extents=((number, 2),))
    before = files_of(tmp_path)
    with pytest.raises(FormatError, match="Overlapping slices"):
        merge([tmp_path / "0", tmp_path / "1"], tmp_path / "m", files=files)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("files", ["copy", "link", "move"])
def test_shard_that_is_missing(tmp_path: Path, files: Any) -> None:
    pair = save_pair(tmp_path)
    (tmp_path / "2.data-00000-of-00001").unlink()
    before = files_of(tmp_path)
    with pytest.raises(tfbundle.BundleNotFoundError, match="No such file or directory: shard 0 of 1"):
        merge(pair, tmp_path / "out" / "m", files=files)
    assert files_of(tmp_path) == before


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    pair = save_pair(tmp_path)
    before = files_of(tmp_path)
    report = merge(pair, tmp_path / "out" / "m", options=RunOptions(dry_run=True))
    assert (report.num_shards, report.num_tensors) == (2, 2)
    assert [note.split(";")[0] for note in report.notes] == ["room needed: 20 B"]
    assert files_of(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_damaged_entry_is_blamed_on_its_index(tmp_path: Path) -> None:
    sound = HandmadeBundle([floats("a", [1])]).write(tmp_path / "sound")
    damaged = HandmadeBundle([floats("b", [2], extra=b"\x08\x63")]).write(tmp_path / "damaged")  # dtype 99
    with pytest.raises(FormatError, match=r"damaged\.index: tensor 'b': unknown dtype 99"):
        merge([sound, damaged], tmp_path / "both")


def test_inputs_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes = [HandmadeBundle([floats(name, [1])]).write(tmp_path / name / "m") for name in ("a", "b")]
    remove = LocalStorage.remove

    def fail(storage: LocalStorage, path: str) -> None:
        if path == f"{prefixes[1]}.index":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        remove(storage, path)

    monkeypatch.setattr(LocalStorage, "remove", fail)
    with pytest.raises(PermissionError, match=rf"Permission denied; {tmp_path}/ab/m is complete, but .*b/m\.index'"):
        merge(prefixes, tmp_path / "ab" / "m", files="move")
    assert tfbundle.verify(tmp_path / "ab").ok  # which its checkpoint file names


def test_directory_of_no_input_gets_another_latest_checkpoint(tmp_path: Path) -> None:
    prefixes = [HandmadeBundle([floats(name, [1])]).write(tmp_path / name / "m") for name in ("a", "b")]
    for folder in ("a", "b"):
        assert merge(prefixes, tmp_path / folder / "both").notes == ()
        assert not (tmp_path / folder / "checkpoint").exists()


@pytest.mark.parametrize("files", ["copy", "link", "move"])
def test_damage_is_blamed_on_its_file(tmp_path: Path, files: Any) -> None:
    sound = HandmadeBundle([floats("a", [1])]).write(tmp_path / "sound")
    damaged = HandmadeBundle([floats("b", [2]), strings("s", [b"x"])]).write(tmp_path / "damaged")
    for offset, name in ((5, "s"), (0, "b")):
        flip(f"{damaged}.data-00000-of-00001", offset)
        with pytest.raises(ChecksumError, match=rf"damaged\.data-00000-of-00001: tensor '{name}': .*hecksum"):
            merge([sound, damaged], tmp_path / "both", files=files)
        flip(f"{damaged}.data-00000-of-00001", offset)
    os.truncate(f"{damaged}.data-00000-of-00001", 6)
    with pytest.raises(FormatError, match=r"damaged\.index: tensor 's': Read less bytes"):
        merge([sound, damaged], tmp_path / "both", files=files)
