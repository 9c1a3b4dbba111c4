"""The wheel on the lowest and the newest of what it says it runs on, from the package index.

    pytest -m campaign tests/wheels -s

Rows of Pythons that are not on the machine are skipped.
"""

from __future__ import annotations

import re
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.requirements import needs_build_backend
from tests.wheels.building import TOP, build, copy_sources
from tests.wheels.interpreters import Environment, find_interpreters

pytestmark = pytest.mark.campaign

_FOR_DEVELOPERS = {"test", "lint", "fuzz"}
_REQUIREMENT = re.compile(r"([\w.-]+)>=([\w.]+)(?:; extra == '([\w-]+)')?")
LOWEST = (3, 10)
BETWEEN = {
    (3, 10): ("numpy==1.26.*", "protobuf==4.21.*"),
    (3, 11): ("numpy==1.26.*", "protobuf==4.25.*"),
    (3, 12): ("numpy==2.0.*", "protobuf==5.26.*"),
    (3, 13): ("numpy==2.2.*", "protobuf==6.31.*"),
}
NEWEST = sorted(found for found in find_interpreters() if found >= LOWEST)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_build_backend()
    top = tmp_path_factory.mktemp("built")
    return build(copy_sources(top / "tree"), top / "wheel")


@pytest.fixture(scope="module")
def bounds(wheel: Path) -> dict[str, list[tuple[str, str]]]:
    """Packages and their lowest versions, by extra; those that are always needed are of the extra without a name."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    found: dict[str, list[tuple[str, str]]] = {}
    for line in metadata.get_all("Requires-Dist", []):
        if match := _REQUIREMENT.fullmatch(line):
            package, lowest, extra = match.groups()
            found.setdefault(extra or "", []).append((package, lowest))
    assert len(found[""]) == 3
    assert metadata["Requires-Python"] == f">={LOWEST[0]}.{LOWEST[1]}"
    return found


def _extras(bounds: dict[str, list[tuple[str, str]]]) -> list[str]:
    return sorted(set(bounds) - _FOR_DEVELOPERS - {""})


def _pins(bounds: dict[str, list[tuple[str, str]]], *extras: str) -> list[str]:
    return [f"{package}=={lowest}" for extra in ("", *extras) for package, lowest in bounds[extra]]


def _try(version: tuple[int, int], requirements: list[str], folder: Path) -> None:
    program = find_interpreters().get(version)
    if program is None:
        pytest.skip(f"there is no Python {version[0]}.{version[1]} here")
    made = Environment.make(folder / "venv", program)
    made.install(requirements)
    print(made.run(TOP / "tests" / "wheels" / "smoke.py", folder / "empty").strip())


def test_lowest(wheel: Path, bounds: dict[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    _try(LOWEST, [str(wheel), *_pins(bounds)], tmp_path)


def test_lowest_with_extras(wheel: Path, bounds: dict[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    extras = _extras(bounds)
    _try(LOWEST, [f"{wheel}[{','.join(extras)}]", *_pins(bounds, *extras)], tmp_path)


@pytest.mark.parametrize("version", BETWEEN)
def test_between(wheel: Path, version: tuple[int, int], tmp_path: Path) -> None:
    _try(version, [str(wheel), *BETWEEN[version]], tmp_path)


@pytest.mark.parametrize("version", NEWEST)
def test_newest(wheel: Path, version: tuple[int, int], tmp_path: Path) -> None:
    _try(version, [str(wheel)], tmp_path)


@pytest.mark.parametrize("version", NEWEST[-1:])
def test_newest_with_extras(
    wheel: Path, bounds: dict[str, list[tuple[str, str]]], version: tuple[int, int], tmp_path: Path
) -> None:
    _try(version, [f"{wheel}[{','.join(_extras(bounds))}]"], tmp_path)
