"""Commands over tensors far larger than the memory they may have."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.faults.memory import finish, limited_group, peak_of_group, peak_of_tree, start
from tests.support.giant import write_giant, write_giant_shards
from tests.support.handmade import HandmadeBundle, floats
from tests.support.processes import peak_nbytes, run_script
from tests.support.requirements import needs_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")

MIB, GIB = 1 << 20, 1 << 30
ONE_PROCESS_NBYTES = 64 * MIB
EIGHT_WORKERS_NBYTES = 200 * MIB

COMMAND = """
import sys
from tfbundle.cli import main
status = main(sys.argv[1:])
assert status in (0, 1), status
"""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """Give a directory that is gone after the test, for files that are not small."""
    directory = tmp_path / "room"
    directory.mkdir()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def giant(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prefix of a sparse tensor of 2 GiB."""
    return write_giant(tmp_path_factory.mktemp("giant") / "giant", 2 * GIB)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prefix of a sparse tensor of 512 MiB, which is as good where all of it must be written."""
    return write_giant(tmp_path_factory.mktemp("large") / "large", GIB // 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "{giant}"),
        ("diff", "{giant}", "{giant}"),
        ("stats", "{large}"),
        ("stats", "{giant}", "--counts"),
        ("halve", "{large}", "{room}/half", "--jobs", "1", "--quiet"),
        ("cast", "{large}", "{room}/brain", "--to", "bfloat16", "--jobs", "1", "--quiet"),
        ("merge", "{large}", "{room}/merged", "--jobs", "1", "--quiet"),
        ("merge", "{giant}", "{room}/merged", "--link", "--quiet"),
        ("average", "{large}", "{large}", "{room}/mean", "--quiet"),
        ("salvage", "{large}", "{room}/salvaged", "--quiet"),
    ],
    ids=lambda arguments: "-".join(word for word in arguments if word[:1] not in "{-0123456789") + str(len(arguments)),
)
def test_r14_peak_over_a_large_tensor(arguments: tuple[str, ...], giant: str, large: str, room: Path) -> None:
    command = [word.format(giant=giant, large=large, room=room) for word in arguments]
    peak = peak_nbytes(COMMAND, *command)
    print(f"{arguments[0]}: {peak / MIB:.0f} MiB")
    assert peak <= ONE_PROCESS_NBYTES


@pytest.mark.parametrize("jobs", [1, 8])
def test_r14_control_group_of_300_mebibytes(jobs: int, giant: str, room: Path) -> None:
    needs_root()
    with limited_group(300 * MIB) as group:
        finish(start("halve", giant, room / "half", "--jobs", str(jobs), "--quiet", group=group))
        print(f"{jobs} jobs: {peak_of_group(group) / MIB:.0f} MiB with page cache")
    assert (room / "half.data-00000-of-00001").stat().st_size == GIB


@pytest.mark.parametrize("jobs", [1, 8])
def test_r14_address_space_of_500_mebibytes(jobs: int, giant: str, room: Path) -> None:
    finish(start("halve", giant, room / "half", "--jobs", str(jobs), "--quiet", most_nbytes=500 * MIB))
    assert (room / "half.data-00000-of-00001").stat().st_size == GIB


def test_r14_64_shards_with_eight_workers(room: Path) -> None:
    source = write_giant_shards(room / "giant", 16 * MIB, 64)
    peak = peak_of_tree(start("halve", source, room / "half", "--jobs", "8", "--quiet"))
    print(f"{peak / MIB:.0f} MiB in all processes")
    assert 20 * MIB < peak <= EIGHT_WORKERS_NBYTES


@pytest.mark.campaign
def test_r14_twenty_gibibytes(room: Path) -> None:
    if shutil.disk_usage(room).free < 12 * GIB:
        pytest.skip("needs 12 GiB of room")
    source = write_giant(room / "giant", 20 * GIB)
    peak = peak_nbytes(COMMAND, "halve", source, str(room / "half"), "--jobs", "1", "--quiet")
    print(f"{peak / MIB:.0f} MiB")
    assert peak <= ONE_PROCESS_NBYTES
    assert (room / "half.data-00000-of-00001").stat().st_size == 10 * GIB


@pytest.mark.campaign
def test_r14_64_large_shards_with_eight_workers(room: Path) -> None:
    source = write_giant_shards(room / "giant", 160 * MIB, 64)
    peak = peak_of_tree(start("halve", source, room / "half", "--jobs", "8", "--quiet"))
    print(f"{peak / MIB:.0f} MiB in all processes")
    assert peak <= EIGHT_WORKERS_NBYTES


STARVED = """
import contextlib, io, resource, sys, os
from tfbundle.cli import main
source, directory, room = sys.argv[1], sys.argv[2], int(sys.argv[3])
verb = sys.argv[4:]
main([*verb, source, directory + "/first", "--quiet"])  # loads what is loaded late
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + room
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
with contextlib.redirect_stderr(io.StringIO()) as errors:
    status = main([*verb, source, directory + "/starved", "--quiet"])
assert errors.getvalue() in ("", "tfbundle: out of memory\\n"), errors.getvalue()
print(status, *sorted(name for name in os.listdir(directory) if name.startswith("starved")))
"""


@pytest.mark.parametrize("verb", ["halve", "salvage"])
def test_r14_no_memory_is_one_line_and_nothing_left(verb: str, tmp_path: Path) -> None:
    tensors = [floats(f"w{number:05d}", np.zeros(5)) for number in range(8000)]
    source = HandmadeBundle(tensors).write(tmp_path / "source" / "model")
    outcomes = set()
    for room in (0, 1 << 18, 1 << 20, 2 << 20, 3 << 20, 5 << 20, 100 << 20):
        directory = tmp_path / str(room)
        directory.mkdir()
        status, *left = run_script(STARVED, source, directory, str(room), verb).split()
        outcomes.add(status)
        assert status in ("0", "7")
        assert bool(left) == (status == "0"), (room, left)
    assert outcomes == {"0", "7"}
