from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import BUNDLE
from tests.support.commands import Command, write_hostile
from tests.support.giant import write_giant
from tests.support.handmade import HandmadeBundle, all_below, bundle_files, files_of, flip, floats, numpy_clamp
from tests.support.processes import start_tfbundle
from tfbundle import verify

RESTORE_NOTE = "TensorFlow never casts on restore"
CAST = {"dense/kernel", "dense/bias"}


def test_summary(tfbundle: Command, source: str, tmp_path: Path) -> None:
    found = tfbundle("halve", source, tmp_path / "half" / "model")
    assert (found.status, found.errors) == (0, "")
    assert bundle_files(tmp_path / "half" / "model") == BUNDLE.halved(CAST).files()
    first, *lines = found.output.splitlines()
    before, after = (sum(map(len, list(bundle.files().values())[:2])) for bundle in (BUNDLE, BUNDLE.halved(CAST)))
    assert first.startswith(f"wrote {tmp_path}/half/model: {before} B -> {after} B")
    text = "\n".join(lines)
    assert "2 tensors float32 -> float16" in text
    assert "optimizer state (1)" in text
    assert "int64 (1)" in text
    assert "string (1)" in text
    assert "--optimizer drop or cast" in text
    assert "16 cast, largest magnitude 2; 0 overflowed, 1 became zero, 1 lost precision" in text
    assert RESTORE_NOTE in text
    assert any(line.split() == ["0", "1", "1", "4", "0.5", "dense/bias"] for line in lines)
    assert not any(line.endswith("dense/kernel") for line in lines)


def test_json(tfbundle: Command, source: str, tmp_path: Path) -> None:
    report = tfbundle("halve", source, tmp_path / "half", "--json").json
    assert report["target"] == str(tmp_path / "half")
    assert {tensor["name"]: tensor["action"] for tensor in report["tensors"]} == {
        "dense/kernel": "cast",
        "dense/kernel/Adam": "keep",
        "dense/bias": "cast",
        "step": "copy",
        "labels": "copy",
    }
    assert report["totals"]["underflow"] == 1
    assert any(note.startswith(RESTORE_NOTE) for note in report["notes"])


def test_quiet(tfbundle: Command, source: str, tmp_path: Path) -> None:
    found = tfbundle("halve", source, tmp_path / "half", "--quiet")
    assert (found.status, found.output, found.errors) == (0, "", "")
    assert bundle_files(tmp_path / "half") == BUNDLE.halved(CAST).files()


@pytest.mark.parametrize("form", ["text", "--json"])
def test_dry_run(tfbundle: Command, source: str, tmp_path: Path, form: str) -> None:
    before = all_below(tmp_path)
    options = [form] if form == "--json" else []
    found = tfbundle("halve", source, tmp_path / "new" / "half", "--dry-run", *options)
    assert found.status == 0
    assert all_below(tmp_path) == before
    assert found.json["dry_run"] if options else found.output.startswith("would write ")


@pytest.mark.parametrize(
    ("options", "cast", "drop"),
    [
        (["--keep", "*/bias"], {"dense/kernel"}, set()),
        (["--keep", "*/bias", "--keep", "re:kernel$"], set(), set()),
        (["--only", "*/bias"], {"dense/bias"}, set()),
        (["--only", "*/bias", "--only", "*/kernel"], CAST, set()),
        (["--drop", "step", "--drop", "labels"], CAST, {"step", "labels"}),
        (["--optimizer", "keep"], CAST, set()),
        (["--optimizer", "cast"], {*CAST, "dense/kernel/Adam"}, set()),
        (["--optimizer", "drop"], CAST, {"dense/kernel/Adam"}),
        (["--jobs", "1"], CAST, set()),
        (["--jobs", "7"], CAST, set()),
    ],
)
def test_options(
    tfbundle: Command, source: str, tmp_path: Path, options: list[str], cast: set[str], drop: set[str]
) -> None:
    assert tfbundle("halve", source, tmp_path / "half", *options).status == 0
    assert bundle_files(tmp_path / "half") == BUNDLE.halved(cast, drop).files()


OVERFLOWING = HandmadeBundle([floats("w", [1e5, -1e6, 3])])


def test_overflow_is_refused(tfbundle: Command, tmp_path: Path) -> None:
    source = OVERFLOWING.write(tmp_path / "source")
    before = all_below(tmp_path)
    found = tfbundle("halve", source, tmp_path / "half")
    found.check_error(6, "tensor w", "2 values overflow", "1000000", "--on-overflow", "keep would leave")
    assert all_below(tmp_path) == before


def test_overflow_is_allowed(tfbundle: Command, tmp_path: Path) -> None:
    source = OVERFLOWING.write(tmp_path / "source")
    found = tfbundle("halve", source, tmp_path / "inf", "--on-overflow", "inf")
    assert "2 overflowed" in found.output
    assert bundle_files(tmp_path / "inf") == OVERFLOWING.halved().files()
    tfbundle("halve", source, tmp_path / "clamp", "--on-overflow", "clamp")
    assert bundle_files(tmp_path / "clamp") == OVERFLOWING.halved(how=numpy_clamp).files()


def test_force(tfbundle: Command, source: str, tmp_path: Path) -> None:
    old = HandmadeBundle([floats("old", [1])]).write(tmp_path / "half")
    before = bundle_files(old)
    tfbundle("halve", source, old).check_error(3, "half.index", "exists already", "--force")
    assert bundle_files(old) == before
    assert tfbundle("halve", source, old, "--force").status == 0
    assert bundle_files(old) == BUNDLE.halved(CAST).files()


def test_long_lists_are_cut(tfbundle: Command, tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats(f"tensor {number}", [1e-9] * (number + 1)) for number in range(14)])
    found = tfbundle("halve", bundle.write(tmp_path / "source"), tmp_path / "half")
    assert "tensor 13" in found.output
    assert "tensor 4" in found.output
    assert "tensor 3" not in found.output
    assert "4 more tensors; --json" in found.output


def test_hostile_names(tfbundle: Command, tmp_path: Path) -> None:
    source = write_hostile(tmp_path / "source")
    found = tfbundle("halve", source, tmp_path / "half\x1b[1m", "--keep", "nul\0", "--drop", "*title*")
    assert found.status == 0
    found.check_printable()
    assert verify(tmp_path / "half\x1b[1m").ok
    names = [tensor["name"] for tensor in tfbundle("halve", source, tmp_path / "json", "--json").json["tensors"]]
    assert {"hex": b"no \xff\xc3 UTF-8".hex()} in names
    assert "two\nlines\r" in names


def test_hostile_names_in_errors(tfbundle: Command, tmp_path: Path) -> None:
    name = b"\x1b[31m\xff\nred"
    source = HandmadeBundle([floats(name, [1e6])]).write(tmp_path / "source")
    for arguments in (
        ("halve", source, tmp_path / "half"),
        ("halve", source, tmp_path / "half", "--keep", "\x1b[31m\nred"),
        ("halve", tmp_path / "missing\x1b[31m\n", tmp_path / "half"),
        ("halve", source, source),
    ):
        found = tfbundle(*arguments)
        found.check_printable()
        assert found.status in (2, 3, 6)
        assert len(found.errors.splitlines()) == 1
    flip(f"{source}.data-00000-of-00001", 0)
    found = tfbundle("halve", source, tmp_path / "half")
    found.check_error(4, "Checksum does not match")
    found.check_printable()


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int, jobs: str) -> None:
    source = write_giant(tmp_path / "giant", 512 << 20)
    before = all_below(tmp_path)
    process = start_tfbundle("halve", source, tmp_path / "new" / "half", "--jobs", jobs)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "new").glob("*.tmp-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert (output, errors) == (b"", b"")
    assert all_below(tmp_path) == before


def test_nothing_to_cast(tfbundle: Command, tmp_path: Path) -> None:
    """A summary of nothing cast neither divides by zero nor speaks of casts."""
    source = HandmadeBundle([floats("empty", np.zeros(0))]).write(tmp_path / "source")
    found = tfbundle("halve", source, tmp_path / "half", "--keep", "*")
    assert found.status == 0
    assert RESTORE_NOTE not in found.output
    assert "numbers:" not in found.output
    assert os.path.getsize(f"{tmp_path / 'half'}.data-00000-of-00001") == 0


def test_report_page(tfbundle: Command, source: str, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "half.html"
    found = tfbundle("halve", source, tmp_path / "half", "--report", page)
    assert (found.status, found.output.splitlines()[-1]) == (0, f"report: {page}")
    assert "dense/<wbr>kernel" in page.read_text()
    assert tfbundle("halve", source, tmp_path / "dry", "--report", page, "--dry-run", "--quiet").output == ""
    assert "a dry run, nothing was written" in page.read_text()


@pytest.mark.parametrize(("place", "status"), [("{0}", 3), ("{0}/model.index", 3), ("{0}/model.index/x.html", 7)])
def test_report_in_a_bad_place_is_refused_before_anything_is_written(
    tfbundle: Command, source: str, tmp_path: Path, place: str, status: int
) -> None:
    before = files_of(tmp_path)
    page = place.format(os.path.dirname(source))
    for verb in (["halve", source, tmp_path / "half"], ["stats", source]):
        tfbundle(*verb, "--report", page).check_error(status, page.removesuffix("/x.html"))
        assert files_of(tmp_path) == before


def test_dry_run_measures_nothing(tfbundle: Command, source: str, tmp_path: Path) -> None:
    found = tfbundle("halve", source, tmp_path / "half", "--dry-run", "--measure")
    found.check_error(2, "--dry-run", "--measure", "tfbundle stats")
