"""Imports point downward: the layers drawn in the package's docstring, enforced on the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tfbundle

PACKAGE = Path(tfbundle.__file__).parent
SANS_IO = ("errors", "sstable", "format", "graph", "casting")
OPERATING_SYSTEM = {"os", "io", "pathlib", "mmap", "threading"}


def drawn_layers() -> list[list[str]]:
    """Return the rows of the drawing, top first."""
    lines = (tfbundle.__doc__ or "").splitlines()
    start = next(at for at, line in enumerate(lines) if line.endswith("::"))
    drawing = [line for line in lines[start + 1 :] if line.strip()]
    rows = [line.replace(",", " ").split() for line in drawing if line.startswith("    ")]
    return rows[: next((at for at, line in enumerate(drawing) if not line.startswith("    ")), len(rows))]


LAYERS = drawn_layers()
DEPTH = {name: depth for depth, row in enumerate(LAYERS) for name in row}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything imported, within functions too; relative imports are told by their dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_layers(source: str) -> set[str]:
    """Return the layers that a module imports from, its package as a whole as the empty string."""
    names = [name.split(".") for name in imported_modules(ast.parse(source))]
    return {name[1] if len(name) > 1 and name[1] in DEPTH else "" for name in names if name[0] == "tfbundle"}


def test_drawing_is_read() -> None:
    assert LAYERS[0] == ["cli", "__main__"]
    assert LAYERS[-1] == ["errors"]
    assert {"sstable", "casting", "storage", "pb"} == set(LAYERS[-2])


def test_every_module_has_a_place_in_the_drawing() -> None:
    assert {layer_of(path) for path in SOURCES} <= set(DEPTH)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    layer = layer_of(path)
    source = path.read_text("utf-8")
    assert not [name for name in imported_modules(ast.parse(source)) if name.startswith(".")]
    for imported in imported_layers(source) - {layer}:
        if not imported:
            # public names are for users, and for those who stand above every layer
            assert DEPTH[layer] == 0, f"{path.name} imports the public names of the package"
        elif (layer, imported) != ("__main__", "cli"):  # the one sibling that another may start
            assert DEPTH[imported] > DEPTH[layer], f"{layer} imports {imported}"


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if layer_of(path) in SANS_IO], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_lower_layers_do_not_know_the_operating_system(path: Path) -> None:
    names = imported_modules(ast.parse(path.read_text("utf-8")))
    assert not {name.split(".")[0] for name in names} & OPERATING_SYSTEM


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if layer_of(path) in SANS_IO], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_lower_layers_open_no_file(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("open", "print", "input")]


def test_errors_import_nothing_of_the_package() -> None:
    assert imported_layers((PACKAGE / "errors.py").read_text("utf-8")) == set()


def test_late_imports_are_seen() -> None:
    late = "def f():\n    from tfbundle.bundle import reader\n    import tfbundle.storage.local\n"
    assert imported_layers(late) == {"bundle", "storage"}
    assert imported_layers("from tfbundle import bundle, __version__\nimport tfbundle\n") == {"bundle", ""}
    assert set(imported_modules(ast.parse("from . import x\nfrom ..a import y"))) == {"..x", "..a.y"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_asserted_about_what_files_hold(path: Path) -> None:
    assert not [node.lineno for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Assert)]
