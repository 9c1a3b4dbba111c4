from __future__ import annotations

import contextlib
import pickle
from typing import TextIO

import pytest

from tfbundle.cli.output import print_lines
from tfbundle.cli.status import STATUS_TEXTS, explain_error, status_of
from tfbundle.errors import (
    BundleExistsError,
    BundleNotFoundError,
    CastError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)

EXPECTED: list[tuple[Exception, int]] = [
    (ValueError("pattern"), 2),
    (IndexError("out of bounds"), 2),
    (BundleNotFoundError("nothing", "path"), 3),
    (BundleExistsError("there", "path"), 3),
    (TensorNotFoundError("name", ("names",), "path"), 3),
    (FormatError("reason", "path", "part", 7), 4),
    (TruncatedError("reason", "path", "part", 7), 4),
    (ChecksumError("reason", "path", "part", 7, 1, 2), 4),
    (UnsupportedError("reason", "path"), 5),
    (CastError("name", 2, 7e4, "remedy", ("others",)), 6),
    (OSError(28, "No space left on device", "path"), 7),
    (PermissionError(13, "Permission denied", "path"), 7),
    (MemoryError(), 7),
]


@pytest.mark.parametrize(("error", "status"), EXPECTED, ids=lambda value: type(value).__name__)
def test_status(error: Exception, status: int) -> None:
    assert status_of(error) == status
    assert status_of(pickle.loads(pickle.dumps(error))) == status


@pytest.mark.parametrize(("error", "status"), EXPECTED, ids=lambda value: type(value).__name__)
def test_explanation_is_one_line(error: Exception, status: int) -> None:
    text = explain_error(error)
    assert text
    assert text.isprintable()


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError(), TypeError("x"), AttributeError("x")])
def test_bugs_have_no_status(error: Exception) -> None:
    assert status_of(error) is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device", "dir/file"), "dir/file: No space left on device"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), "a -> b: Invalid cross-device link"),
        (OSError("something else"), "something else"),
        (OSError(2, "No such file", "\x1b[2J\n"), r"\x1b[2J\n: No such file"),
        (ValueError("a\nb\x1b"), r"a\nb\x1b"),
        (MemoryError(), "out of memory"),
        (BundleNotFoundError("nothing there", "a\udcffb"), r"a\xffb: nothing there"),
    ],
)
def test_explanation(error: Exception, text: str) -> None:
    assert explain_error(error) == text


def test_a_long_name_does_not_make_a_long_line() -> None:
    text = explain_error(TensorNotFoundError("\x1b" * 1_000_000, remedy="--add adds it"))
    assert text.startswith("Key \\x1b")
    assert text.endswith("--add adds it")
    assert "characters) …" in text
    assert 10_000 <= len(text) < 10_100


def test_output_is_named_where_printing_fails() -> None:
    with pytest.raises(OSError, match="No space left") as caught, open("/dev/full", "w") as full:
        print_lines_to(full)
    assert explain_error(caught.value) == "standard output: No space left on device"


def print_lines_to(full: TextIO) -> None:
    with contextlib.redirect_stdout(full):
        print_lines(["x" * 100_000])


def test_help_tells_every_status() -> None:
    for status in {status for _, status in EXPECTED} | {0, 1, 130}:
        assert STATUS_TEXTS[status]
