from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.reports import cast_tensor, make_report, plain_tensor
from tfbundle.errors import BundleExistsError
from tfbundle.reporting.page import check_place, format_page, iter_page, write_page
from tfbundle.reporting.page_data import iter_data


class Elements(HTMLParser):
    """Notes the elements of a page, and the text of those that hold what is no markup."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str]] = []
        self.raw: dict[str, str] = {}
        self._key = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attributes)))
        self.attributes += [(name, value or "") for name, value in attributes]
        self._key = {"script": dict(attributes).get("type") or "script"}.get(tag, tag)

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.raw[self._key] = self.raw.get(self._key, "") + data


EVIL = (
    "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>'\"--><!--{{data}}"
    "\\u003c\u202e\u2028\0\udcff"
)


def report_with(text: str) -> dict[str, Any]:
    tensors = [
        cast_tensor(text, np.ones(3, np.float32), target_name=text + "2", reason=text),
        plain_tensor(text + "3", source_dtype=text, target_dtype=text),
    ]
    return make_report(tensors, source=text, target=text, notes=[text])


@given(st.text(st.characters(), min_size=1))
@example(EVIL)
def test_no_text_breaks_out(text: str) -> None:
    page = format_page(report_with(text))
    page.encode()
    tame = Elements(format_page(report_with("tame")))
    found = Elements(page)
    assert [tag for tag in found.tags if tag[0] != "wbr"] == tame.tags
    assert found.raw["script"] == tame.raw["script"]
    assert found.raw["style"] == tame.raw["style"]
    data = json.loads(found.raw["application/json"])
    assert data["tensors"][0][3].isprintable()


def test_policy_allows_this_script_and_this_style_only() -> None:
    elements = Elements(format_page(report_with("w")))
    policy = next(value for name, value in elements.attributes if name == "content" and "default-src" in value)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules == {
        "default-src": "'none'",
        "script-src": hash_source(elements.raw["script"]),
        "style-src": hash_source(elements.raw["style"]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not [tag for tag, names in elements.tags if "style" in names]  # the policy would not let them be


def hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = format_page(report_with("w"))
    assert "://" not in page
    assert not re.search(r"@import|url\(|\bsrc=|\bhref=", page)


def test_script_is_safe_where_it_stands() -> None:
    script = Elements(format_page(report_with("w"))).raw["script"]
    assert not re.search("<!--|<script|</script", script, re.IGNORECASE)
    assert not re.search("innerHTML|outerHTML|insertAdjacentHTML|document.write|eval", script)


def test_page_is_small() -> None:
    assert len(format_page(make_report([])).encode()) < 30_000
    many = make_report([cast_tensor(f"layer_{number}/kernel", np.ones(9, np.float32)) for number in range(2000)])
    assert len(format_page(many).encode()) < 37_000 + len("".join(iter_data(many)))


def test_pieces_are_the_page() -> None:
    report = make_report([plain_tensor(f"t{number}") for number in range(5000)])
    pieces = list(iter_page(report))
    assert "".join(pieces) == format_page(report)
    assert max(map(len, pieces)) < 200_000


def test_file_takes_the_place_of_another(tmp_path: Path) -> None:
    report, path = report_with(EVIL), tmp_path / "new" / "page.html"
    for _ in range(2):
        write_page(str(path), report)
        assert path.read_bytes() == format_page(report).encode()
        assert os.listdir(path.parent) == ["page.html"]


def test_nothing_is_left_of_a_page_that_fails(tmp_path: Path) -> None:
    broken = make_report([plain_tensor("a"), {**plain_tensor("b"), "shape": object()}])
    with pytest.raises(TypeError):
        write_page(str(tmp_path / "new" / "page.html"), broken)
    assert os.listdir(tmp_path) == []
    old = tmp_path / "page.html"
    old.write_text("<!DOCTYPE html>old")
    with pytest.raises(TypeError):
        write_page(str(old), broken)
    assert old.read_text() == "<!DOCTYPE html>old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for path in (tmp_path, pipe, tmp_path / "link"):
        with pytest.raises(BundleExistsError, match="a report does not replace it") as caught:
            write_page(str(path), make_report([]))
        assert isinstance(caught.value, OSError)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_file_of_another_kind_stays(tmp_path: Path) -> None:
    path = tmp_path / "model.meta"
    for contents in (b"\0\0\x1a", b"<!doctype htm"):
        path.write_bytes(contents)
        for write in (check_place, lambda path: write_page(path, make_report([]))):
            with pytest.raises(BundleExistsError, match="no HTML page"):
                write(str(path))
        assert path.read_bytes() == contents
    path.write_bytes(b"")  # as mktemp makes it
    write_page(str(path), make_report([]))
    assert path.read_bytes().startswith(b"<!doctype html>")


@pytest.mark.parametrize("name", ["model.index", "MODEL.INDEX", "model.data-00000-of-00001", "checkpoint"])
def test_r11_names_of_bundles_are_left_to_them(tmp_path: Path, name: str) -> None:
    """Also where nothing is there yet, or an empty data file."""
    for write in (check_place, lambda path: write_page(path, make_report([]))):
        with pytest.raises(BundleExistsError, match="does not take the name"):
            write(str(tmp_path / name))
    assert os.listdir(tmp_path) == []


def test_place_is_checked_without_a_trace(tmp_path: Path) -> None:
    check_place(str(tmp_path / "new" / "page.html"))
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        check_place(str(tmp_path / "file" / "page.html"))
    with pytest.raises(BundleExistsError, match="no file"):
        check_place(str(tmp_path))


def test_trouble_with_the_machine_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_page(str(tmp_path / "file" / "page.html"), make_report([]))
