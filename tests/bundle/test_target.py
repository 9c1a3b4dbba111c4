from __future__ import annotations

import os
from pathlib import Path

import pytest

import tfbundle
from tests.support.handmade import HandmadeBundle, floats
from tfbundle import BundleExistsError
from tfbundle.bundle.target import check_not_same, target_prefix
from tfbundle.storage.local import LocalStorage

STORAGE = LocalStorage()


@pytest.fixture
def source(tmp_path: Path) -> str:
    return HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "model")


def check(source: str, target: Path) -> None:
    with tfbundle.open(source) as bundle:
        check_not_same(bundle, str(target), LocalStorage())


def test_another_prefix_is_fine(source: str, tmp_path: Path) -> None:
    check(source, tmp_path / "other")
    HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "other")
    check(source, tmp_path / "other")


def test_source_by_its_name_and_by_a_link_to_its_directory(source: str, tmp_path: Path) -> None:
    os.symlink(tmp_path, tmp_path / "link")
    for target in (tmp_path / "model", tmp_path / "link" / "model"):
        with pytest.raises(BundleExistsError, match="the target is the source"):
            check(source, target)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_in_common_is_enough(source: str, tmp_path: Path, suffix: str, link: object) -> None:
    assert callable(link)
    link(source + suffix, str(tmp_path / "other") + suffix)
    with pytest.raises(BundleExistsError, match="the target is the source"):
        check(source, tmp_path / "other")


@pytest.mark.parametrize("path", ["", ".index"])
def test_target_prefix_of_nothing(path: str) -> None:
    with pytest.raises(ValueError, match="target is empty"):
        target_prefix(path, "src/model", STORAGE)
    assert target_prefix("./", "src/model", STORAGE) == "./model"


def test_target_prefix(tmp_path: Path) -> None:
    directory = str(tmp_path)
    assert target_prefix(directory, "src/model.ckpt-7", STORAGE) == os.path.join(directory, "model.ckpt-7")
    assert target_prefix("new/", "src/model", STORAGE) == "new/model"
    assert target_prefix("new/", "src/", STORAGE) == "new/"
    assert target_prefix("new/half", "src/model", STORAGE) == "new/half"
    assert target_prefix("new/half.index", "src/model", STORAGE) == "new/half"
    assert target_prefix("new/half.data-00001-of-00003", "src/model", STORAGE) == "new/half"
    assert target_prefix(Path("half-1.5"), "src/model", STORAGE) == "half-1.5"
