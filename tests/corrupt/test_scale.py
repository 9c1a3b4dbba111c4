"""Files that are enormous, or hold very many tensors: time and memory go by what is read, not by what is there."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

import tfbundle
from tests.corrupt.cases import FLOAT, HEADER, T_VALUES, Sparse, shard_suffix, write_contents
from tests.support.bundles import entry_of
from tests.support.processes import run_script
from tests.support.tables import write_table
from tests.support.wire import shape_proto
from tfbundle.sstable import block
from tfbundle.storage.local import LocalFile

TERABYTE = 1 << 40
FAR = TERABYTE - 24

MEASURE = """
import resource, sys, time
from tfbundle.cli import main
main(["ls", sys.argv[2]])  # imports
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) * 1024
before, start = peak(), time.process_time()
status = main(sys.argv[3:])
print(f"measured {status} {time.process_time() - start} {peak() - before} {peak()}")
"""


def measured(healthy: str, *arguments: str) -> tuple[int, float, int, int]:
    """Run a command in a process that has imported it; return status, CPU seconds, additional and whole memory."""
    words = run_script(MEASURE, "", healthy, *arguments).splitlines()[-1].split()
    return int(words[1]), float(words[2]), int(words[3]), int(words[4])


@pytest.fixture
def far(tmp_path: Path) -> str:
    """A bundle with 24 bytes at the end of a terabyte of nothing."""
    prefix = str(tmp_path / "far")
    rows = [(b"", HEADER), (b"t", entry_of(FLOAT, shape_proto(2, 3), T_VALUES, FAR))]
    write_contents(prefix + ".index", write_table(rows))
    try:
        write_contents(prefix + shard_suffix(), Sparse(TERABYTE, {FAR: T_VALUES}))
    except OSError as error:
        (pytest.fail if os.environ.get("TFBUNDLE_REQUIRE_FAULTS") == "1" else pytest.skip)(f"no terabyte here: {error}")
    return prefix


class TestT13:
    def test_t13_read(self, far: str) -> None:
        with tfbundle.open(far) as bundle:
            assert bundle["t"].tobytes() == T_VALUES
            assert bundle.read("t", where=(1, 2)) == 5

    @pytest.mark.parametrize(
        "arguments",
        [("ls", "far"), ("verify", "far"), ("show", "far", "t"), ("halve", "far", "out"), ("merge", "far", "out")],
        ids=lambda arguments: arguments[0],
    )
    def test_t13_verbs(self, tmp_path: Path, far: str, arguments: tuple[str, ...]) -> None:
        paths = [str(tmp_path / word) if word in ("far", "out") else word for word in arguments]
        status, seconds, nbytes, _ = measured(far, *paths)
        assert status == 0
        assert seconds < 1
        assert nbytes < 40_000_000
        if "out" in arguments:
            assert os.path.getsize(tmp_path / f"out{shard_suffix()}") in (12, 24)


def write_many(prefix: str, count: int) -> str:
    """Write a bundle with so many float32 scalars."""
    names = (b"layer_%04d/block_%02d/weight_%03d" % (row // 1000, row // 100 % 10, row % 1000) for row in range(count))
    entry = [entry_of(FLOAT, b"", bytes(4), 4 * number) for number in range(count)]
    rows = [(b"", HEADER), *zip(sorted(names), entry, strict=True)]
    write_contents(prefix + ".index", write_table(rows))
    write_contents(prefix + shard_suffix(), bytes(4 * count))
    return prefix


class TestT14:
    def test_t14_work_grows_with_the_number_of_tensors_and_no_faster(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Count what is read and which blocks are decoded: all that takes time here follows from it."""
        small, large = (self._count(tmp_path, number, monkeypatch) for number in (10_000, 100_000))
        for what, count in large.items():
            assert count <= 11 * small[what] + 20, what

    def _count(self, directory: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        prefix = write_many(str(directory / str(number)), number)
        counts: Counter[str] = Counter()
        read_into, unseal = LocalFile.read_into, block.unseal_block

        def counted_read(file: LocalFile, offset: int, buffer: memoryview) -> None:
            counts["reads"] += 1
            counts["bytes"] += len(buffer)
            read_into(file, offset, buffer)

        def counted_unseal(framed: bytes) -> bytes:
            counts["blocks"] += 1
            return unseal(framed)

        with monkeypatch.context() as patch:
            patch.setattr(LocalFile, "read_into", counted_read)
            patch.setattr("tfbundle.sstable.reader.unseal_block", counted_unseal)
            with tfbundle.open(prefix) as bundle:
                assert len(bundle.list_tensors().keys) == number
            assert tfbundle.verify(prefix).ok
        assert counts["bytes"] < 3 * os.path.getsize(f"{prefix}.index")
        return counts

    @pytest.mark.campaign
    def test_t14_a_million(self, tmp_path: Path) -> None:
        prefix = write_many(str(tmp_path / "million"), 1_000_000)
        small = write_many(str(tmp_path / "small"), 10)
        for verb, most in (("ls", 10), ("verify", 20)):
            status, seconds, _, nbytes = measured(small, verb, prefix)
            print(f"{verb}: {seconds:.1f} s, {nbytes / 1e6:.0f} MB")
            assert status == 0
            assert seconds < most
            assert nbytes < 600_000_000
