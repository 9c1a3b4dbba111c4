"""What is built, and that it is the same wherever and whenever it is built."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.support.requirements import needs_build_backend
from tests.wheels.building import TOP, build, copy_sources, unpack
from tests.wheels.interpreters import Environment

KINDS = ("wheel", "sdist")
MOST_NBYTES = 600_000


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_build_backend()
    return copy_sources(tmp_path_factory.mktemp("here") / "tree")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in another place, where all files are of another time and belong to their owner alone."""
    top = copy_sources(tmp_path_factory.mktemp("elsewhere") / "a b" / "x")
    for path in [top, *top.rglob("*")]:
        os.utime(path, (1_234_567_890, 1_234_567_890))
        path.chmod(0o700 if path.is_dir() else 0o600)
    return top


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(sources, tmp_path_factory.mktemp("built") / "wheel")


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# The same bytes.


@pytest.mark.parametrize("kind", KINDS)
def test_builds_are_equal(kind: str, sources: Path, others: Path, tmp_path: Path) -> None:
    """Whatever the place, the times and modes of files, the umask, the locale, the time zone and the order of sets."""
    one = build(sources, tmp_path / "one", kind)
    settings = {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Kathmandu", "HOME": "/nowhere"}
    other = build(others, tmp_path / "other", kind, 0o077, **settings)
    assert one.name == other.name
    assert _digest(one) == _digest(other)


def test_wheel_of_an_sdist_is_that_of_the_tree(wheel: Path, others: Path, tmp_path: Path) -> None:
    sdist = build(others, tmp_path / "sdist", "sdist")
    assert _digest(build(unpack(sdist, tmp_path / "unpacked"), tmp_path / "wheel")) == _digest(wheel)


def test_date_is_the_one_that_is_asked_for(wheel: Path, others: Path, tmp_path: Path) -> None:
    """As https://reproducible-builds.org has it; without one, files are of a day that never changes."""
    dated = build(others, tmp_path / "dated", SOURCE_DATE_EPOCH="1700000000")
    assert _files(dated) == _files(wheel)
    with zipfile.ZipFile(dated) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}
    same = build(others, tmp_path / "same", SOURCE_DATE_EPOCH="1580601600")
    assert _digest(same) == _digest(wheel)


def test_backend_is_of_one_version() -> None:
    """A wheel says which version of its backend has made it, and each may do it in another way."""
    text = (TOP / "pyproject.toml").read_text()
    versions = re.findall(r'"hatchling([^."].*?)"', text)
    assert len(versions) == 2
    assert versions[0] == versions[1]
    assert re.fullmatch(r"==[\d.]+", versions[0])


# What is in it.


def test_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    found = {name for name in _files(wheel) if ".dist-info/" not in name}
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "tfbundle"]
    listed = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not in a clone")
    assert found == set(listed.stdout.split())
    assert {"tfbundle/py.typed", "tfbundle/pb/descriptors.binpb", "tfbundle/reporting/page.html"} <= found
    assert wheel.stat().st_size < MOST_NBYTES


def test_wheel_says_what_it_is(wheel: Path, metadata: Message) -> None:
    files = _files(wheel)
    assert wheel.name == f"tfbundle-{package.__version__}-py3-none-any.whl"
    assert metadata["Version"] == package.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (TOP / "README.md").read_text()
    (points,) = (data for name, data in files.items() if name.endswith("entry_points.txt"))
    assert points.decode() == "[console_scripts]\ntfbundle = tfbundle.cli:run_process\n"


def test_core_is_three_packages(metadata: Message) -> None:
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(re.split(r"[^\w]", line)[0] for line in core) == ["crc32c", "numpy", "protobuf"]


def test_sdist_can_be_tested(sources: Path, tmp_path: Path) -> None:
    with tarfile.open(build(sources, tmp_path / "sdist", "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "proto/FORMAT.md", "tests/conftest.py", "tests/wheels/smoke.py"} <= names
    assert not {name for name in names if "__pycache__" in name or name.endswith(".pyc")}


# At work.


def test_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """In an environment that borrows the packages it needs from this one, and has no others of its own."""
    site = Path(np.__file__).parent.parent
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=120)
    made = Environment(tmp_path / "venv")
    command = [sys.executable, "-m", "pip", "--python", made.python, "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, timeout=120)
    (own,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    (own / "borrowed.pth").write_text(f"{site}\n")
    printed = made.run(TOP / "tests" / "wheels" / "smoke.py", tmp_path / "empty")
    assert printed.startswith(f"tfbundle {package.__version__}: ")
