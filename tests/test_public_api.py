"""The names users may rely on."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import tfbundle

PUBLIC = [
    "AverageReport",
    "BundleError",
    "BundleExistsError",
    "BundleNotFoundError",
    "BundleReader",
    "BundleWriter",
    "CastError",
    "CastPolicy",
    "CastReport",
    "CastStats",
    "CheckpointState",
    "ChecksumError",
    "DiffOptions",
    "DiffReport",
    "ExportOptions",
    "ExportReport",
    "FinishReport",
    "FormatError",
    "ImportOptions",
    "ImportReport",
    "Layout",
    "MergeReport",
    "Naming",
    "ReplaceReport",
    "RunOptions",
    "SalvageReport",
    "Selection",
    "TensorInfo",
    "TensorNotFoundError",
    "TruncatedError",
    "UnsupportedError",
    "VerifyReport",
    "__version__",
    "average",
    "cast",
    "create",
    "diff",
    "export",
    "finish",
    "get_checkpoint_state",
    "halve",
    "import_tensors",
    "latest",
    "load",
    "merge",
    "open",
    "replace_tensor",
    "salvage",
    "save",
    "stats",
    "verify",
]


def test_public_names_are_pinned() -> None:
    assert tfbundle.__all__ == PUBLIC
    assert dir(tfbundle) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(tfbundle, name)
    if name != "__version__":
        assert inspect.getdoc(value)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name[0].islower()])
def test_functions_show_an_example_and_their_errors(name: str) -> None:
    text = inspect.getdoc(getattr(tfbundle, name)) or ""
    assert "Example:" in text
    assert "Raises:" in text


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        tfbundle.no_such_name  # noqa: B018


def test_import_loads_no_library() -> None:
    code = "import sys, tfbundle; print({'numpy', 'google.protobuf', 'crc32c', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
