from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.support.bundles import entry_of, write_bundle
from tests.support.handmade import HandmadeBundle, flip, floats, strings
from tests.support.tables import assemble_table, plain_block
from tests.support.wire import shape_proto
from tfbundle import BundleNotFoundError, ChecksumError, FormatError, TruncatedError, UnsupportedError
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.soundness import check_rows, guess_cause, open_damaged
from tfbundle.errors import BundleError
from tfbundle.storage.local import LocalStorage

BUNDLE = HandmadeBundle([floats("a", [1, 2]), strings("s", [b"x"]), floats("z", [3], shard=1)], 2)
WRONG, SHORT, GONE = ChecksumError("wrong"), TruncatedError("short"), BundleNotFoundError("gone")


def test_rows(tmp_path: Path) -> None:
    prefix = BUNDLE.write(tmp_path / "m")
    with open_bundle(prefix) as bundle:
        assert check_rows(bundle) == (18, {})
    flip(f"{prefix}.data-00000-of-00002", 9)
    os.remove(f"{prefix}.data-00001-of-00002")
    with open_bundle(prefix) as bundle:
        nbytes, errors = check_rows(bundle)
    assert nbytes == 8
    assert [(name, type(error)) for name, error in errors.items()] == [("s", ChecksumError), ("z", BundleNotFoundError)]


def fail_at(monkeypatch: pytest.MonkeyPatch, place: int, number: int) -> None:
    """Let the operating system refuse to read one byte of every file."""
    read = os.preadv

    def preadv(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset <= place < offset + len(buffers[0]):
            raise OSError(number, os.strerror(number))
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)


@pytest.mark.parametrize(("place", "lost"), [(3, "a"), (9, "s")])
def test_bytes_that_the_disk_does_not_give_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, lost: str
) -> None:
    bundle = HandmadeBundle([floats("a", [1, 2]), strings("s", [b"x"]), floats("b", range(300)), floats("c", [4])])
    prefix = bundle.write(tmp_path / "m")
    with open_bundle(prefix) as opened:
        fail_at(monkeypatch, place, errno.EIO)
        _, errors = check_rows(opened)
    path = f"{prefix}.data-00000-of-00001"
    assert {name: str(error) for name, error in errors.items()} == {
        lost: f"{path}: tensor '{lost}': cannot be read: Input/output error"
    }


def test_other_trouble_with_reading_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_bundle(BUNDLE.write(tmp_path / "m")) as opened:
        fail_at(monkeypatch, 3, errno.ENOMEM)
        with pytest.raises(OSError, match="Cannot allocate memory"):
            check_rows(opened)


@pytest.mark.parametrize(
    ("errors", "num_rows", "cause"),
    [
        ([], 3, ""),
        ([WRONG], 1, ""),
        ([WRONG, SHORT], 5, ""),
        ([WRONG, SHORT], 4, "different steps"),
        ([FormatError("other")] * 4, 4, ""),
        ([WRONG, WRONG, GONE], 3, "a data file is missing"),
    ],
)
def test_likely_cause(errors: list[BundleError], num_rows: int, cause: str) -> None:
    found = guess_cause(errors, num_rows)
    assert cause in found
    assert bool(found) == bool(cause)


def write_in_blocks(prefix: Path, damage: int | None) -> str:
    """Write a bundle with a row in each block of its index, one of them not a block at all."""
    files = BUNDLE.files()
    rows = [(b"", BUNDLE.header), *((each.name, each.placed(BUNDLE.offsets[each.name])) for each in BUNDLE.tensors)]
    blocks = [(key + b"\0", plain_block([(key, value)])) for key, value in rows]
    if damage is not None:
        blocks[damage] = (blocks[damage][0], b"?")
    for suffix, contents in {**files, ".index": assemble_table(blocks)}.items():
        Path(f"{prefix}{suffix}").write_bytes(contents)
    return str(prefix)


@pytest.mark.parametrize(("damage", "names"), [(None, "asz"), (1, "sz"), (2, "az"), (3, "as")])
def test_damaged_blocks_are_left_out(tmp_path: Path, damage: int | None, names: str) -> None:
    prefix = write_in_blocks(tmp_path / "m", damage)
    bundle, errors = open_damaged(prefix, LocalStorage())
    with bundle:
        assert list(bundle) == list(names)
        assert check_rows(bundle)[1] == {}
    assert [(error.path, error.part) for error in errors] == [(f"{prefix}.index", f"block {damage}")][: len(errors)]
    assert len(errors) == (damage is not None)


def test_damage_that_all_depends_on(tmp_path: Path) -> None:
    prefix = write_in_blocks(tmp_path / "m", 0)
    with pytest.raises(FormatError, match=r"m\.index: block 0"):
        open_damaged(prefix, LocalStorage())
    prefix = BUNDLE.write(tmp_path / "n")
    flip(f"{prefix}.index", os.path.getsize(f"{prefix}.index") - 1)
    with pytest.raises(FormatError, match=r"n\.index: footer"):
        open_damaged(prefix, LocalStorage())


def test_v1_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(assemble_table([]))
    with pytest.raises(UnsupportedError, match="V1 checkpoint"):
        open_damaged(tmp_path / "v1", LocalStorage())


def test_small_file_that_would_make_endless_work(tmp_path: Path) -> None:
    prefix, payload = str(tmp_path / "m"), bytes(8)
    write_bundle(prefix, {b"%02d" % number: entry_of(1, shape_proto(2), payload) for number in range(9)}, [payload])
    with open_bundle(prefix) as opened, pytest.raises(FormatError) as caught:
        check_rows(opened)
    reason = "payloads of 72 bytes in data files of 8: many share bytes, which no writer makes"
    assert str(caught.value) == f"{prefix}.index: {reason}"
