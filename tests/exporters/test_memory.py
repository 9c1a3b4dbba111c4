"""Exports and imports of tensors far larger than the memory they may take."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.faults.test_memory import COMMAND, GIB, MIB
from tests.support.giant import write_giant, write_giant_partition
from tests.support.processes import peak_nbytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")

MOST_NBYTES = 100 * MIB


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """Give a directory that is gone after the test, for files that are not small."""
    directory = tmp_path / "room"
    directory.mkdir()
    yield directory
    shutil.rmtree(directory)


def peak(*arguments: str | Path) -> int:
    found = peak_nbytes(COMMAND, *arguments, "--quiet")
    print(f"{arguments[0]} {arguments[2]}: {found / MIB:.0f} MiB")
    return found


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz", "m/"])
def test_there_and_back(name: str, room: Path) -> None:
    source = write_giant(room / "giant", 256 * MIB)
    target = f"{room}/{name}"
    assert peak("export", source, target, "--jobs", "1") < MOST_NBYTES
    assert peak("import", target, room / "back") < MOST_NBYTES
    assert (room / "back.data-00000-of-00001").stat().st_size == 256 * MIB


def test_a_partitioned_tensor_and_a_cast(room: Path) -> None:
    source = write_giant_partition(room / "giant", (1024, 64 * 1024), 4, 1)
    assert peak("export", source, room / "m.safetensors", "--to", "float16", "--jobs", "1") < MOST_NBYTES
    assert peak("export", source, room / "m.npz", "--jobs", "1") < MOST_NBYTES


@pytest.mark.parametrize("packed", [False, True], ids=["stored", "packed"])
def test_arrays_in_fortran_order(packed: bool, room: Path) -> None:
    array = np.asfortranarray(np.arange(12 << 20, dtype=np.uint32).reshape(8 << 10, -1))
    (np.savez_compressed if packed else np.savez)(room / "m.npz", w=array)
    del array
    assert peak("import", room / "m.npz", room / "back") < MOST_NBYTES
    found = np.memmap(room / "back.data-00000-of-00001", np.uint32, "r")
    assert all(np.array_equal(found[at : at + MIB], np.arange(at, at + MIB)) for at in range(0, 12 << 20, MIB))


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["m.safetensors", "m.npz", "m/"])
def test_six_gibibytes(name: str, room: Path) -> None:
    """More than the 32 bits that a zip archive has without its extension."""
    source = write_giant(room / "giant", 6 * GIB)
    target = f"{room}/{name}"
    assert peak("export", source, target, "--jobs", "1") < MOST_NBYTES
    if name == "m.npz":
        import zipfile

        with zipfile.ZipFile(target) as archive:
            (info,) = archive.infolist()
            assert info.file_size > 6 * GIB
            with archive.open(info) as member:
                assert np.lib.format.read_magic(member) == (1, 0)
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        assert shape == (6 * GIB // 4,)
        assert dtype == np.float32
    assert peak("import", target, room / "back") < MOST_NBYTES
