from __future__ import annotations

import os
from pathlib import Path

import pytest

import tfbundle
from tests.support.bundles import write_bundle
from tests.support.handmade import HandmadeBundle, floats
from tests.support.wire import bytes_field, varint_field
from tfbundle import BundleExistsError
from tfbundle.bundle.target import check_not_same
from tfbundle.storage.local import LocalStorage


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


def test_header_that_speaks_of_many_data_files_costs_one_look(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(source, {}, header=varint_field(1, 90_000) + bytes_field(3, varint_field(1, 1)))
    looks: list[str] = []

    def look(storage: LocalStorage, left: str, right: str) -> bool:
        looks.append(left)
        return False

    monkeypatch.setattr(LocalStorage, "is_same", look)
    check(source, tmp_path / "other")
    assert len(looks) == 1
