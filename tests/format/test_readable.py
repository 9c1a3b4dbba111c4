from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.readable import escape, escape_all, format_nbytes, plural

ANY_TEXT = st.text(st.characters())


@given(ANY_TEXT)
def test_escaped_text_is_one_printable_line(text: str) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    assert len(escaped) >= len(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_printable_text_stays(text: str) -> None:
    assert escape(text) == text


@given(st.binary())
def test_bytes_that_are_no_text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert escape(text).encode("utf-8").isascii() or not data.isascii()
    assert all(f"\\x{byte:02x}" in escape(chr(0xDC00 + byte)) for byte in data if byte >= 0x80)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("conv 1/kernel", "conv 1/kernel"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\0", r"\x00"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("\u202eabc", r"\u202eabc"),
        ("\u2028\ufeff", r"\u2028\ufeff"),
        ("\U000e0001", r"\U000e0001"),
        ("\udcff", r"\xff"),
        ("\udc80\udd00\udc7f", r"\x80\udd00\udc7f"),
        ("é\n漢", r"é\n漢"),
        ("\ud800", r"\ud800"),
        ("é漢🙂", "é漢🙂"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1049, "1.0 kB"),
        (1051, "1.1 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_999, "1.0 MB"),
        (10_680_765, "10.7 MB"),
        (2 << 30, "2.1 GB"),
        (999_999_999_999, "1.0 TB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes(nbytes: int, text: str) -> None:
    assert format_nbytes(nbytes) == text


def test_plural() -> None:
    assert [plural(count, "tensor") for count in (0, 1, 2, 12_345)] == [
        "0 tensors", "1 tensor", "2 tensors", "12,345 tensors",
    ]  # fmt: skip


@given(st.lists(st.one_of(ANY_TEXT, st.text("abc /~")), max_size=5))
def test_texts_are_escaped_one_by_one(texts: list[str]) -> None:
    assert list(escape_all(texts)) == [escape(text) for text in texts]


@pytest.mark.parametrize("at", [0, 999, 1000, 2500])
@pytest.mark.parametrize("text", ["\x1f", "\x7f", "\x80", "\udc80", "é"])
def test_one_of_many_texts_is_escaped(text: str, at: int) -> None:
    texts = [f"conv{number}/kernel ~" for number in range(2501)]
    texts[at] += text
    escaped = list(escape_all(iter(texts)))
    assert escaped[at] == escape(texts[at])
    assert escaped[:at] + escaped[at + 1 :] == texts[:at] + texts[at + 1 :]
