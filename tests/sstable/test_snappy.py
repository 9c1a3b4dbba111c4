from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.tables import varint
from tfbundle.errors import FormatError
from tfbundle.sstable.snappy import decode_elements, decompress_snappy
from tfbundle.sstable.varint import decode_varint

Decoder = Callable[[bytes], bytes]


def without_cramjam(stream: bytes) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cramjam", None)
        return decompress_snappy(stream)


def with_cramjam(stream: bytes) -> bytes:
    assert find_spec("cramjam")
    return decompress_snappy(stream)


def compress(data: bytes) -> bytes:
    from cramjam import snappy

    return bytes(snappy.compress_raw(data))


def outcome(decode: Decoder, stream: bytes) -> bytes | None:
    try:
        return decode(stream)
    except FormatError:
        return None


needs_cramjam = pytest.mark.skipif(find_spec("cramjam") is None, reason="cramjam is not installed")
both = pytest.mark.parametrize("decode", [without_cramjam, pytest.param(with_cramjam, marks=needs_cramjam)])

VALID = {
    "nothing": ("00", b""),
    "literal": ("03 08 616263", b"abc"),
    "two literals": ("02 00 61 00 62", b"ab"),
    "literal, 1-byte length": ("3d f03c" + "7a" * 61, b"z" * 61),
    "literal, 2-byte length": ("ac02 f42b01" + "79" * 300, b"y" * 300),
    "literal, 3-byte length": ("02 f8010000 6162", b"ab"),
    "literal, 4-byte length": ("02 fc01000000 6162", b"ab"),
    "copy of 11 bits": ("08 0c61626364 0104", b"abcdabcd"),
    "copy of 11 bits, all of them": (
        (varint(2051) + b"\xf4\xfe\x07" + b"ab" + bytes(2045) + b"\xe1\xff").hex(),
        b"ab" + bytes(2045) + b"ab\0\0",
    ),
    "copy of 16 bits": ("08 0c61626364 0e0400", b"abcdabcd"),
    "copy of 32 bits": ("08 0c61626364 0f04000000", b"abcdabcd"),
    "overlapping copy": ("05 00 61 0101", b"aaaaa"),
    "overlap that ends within a piece": ("08 08616263 0503", b"abcabcab"),
    "copy of 64": ("41 00 61 fe0100", b"a" * 65),
}

MALFORMED = {
    "no bytes at all": "",
    "length without an end": "80",
    "length of 33 bits": "8080808010 00 61",
    "literal cut short": "03 08 6162",
    "literal length cut short": "02 f4 01",
    "copy cut short": "08 0c61626364 0e04",
    "copy without offset": "08 0c61626364 01",
    "offset 0": "08 0c61626364 0100",
    "offset before the start": "08 0c61626364 0105",
    "copy before any literal": "04 0101",
    "longer than promised": "02 08 616263",
    "shorter than promised": "04 08 616263",
    "nothing though something is promised": "04",
}


@both
@pytest.mark.parametrize("name", VALID)
def test_valid_streams(decode: Decoder, name: str) -> None:
    stream, expected = VALID[name]
    assert decode(bytes.fromhex(stream)) == expected


@both
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_streams(decode: Decoder, name: str) -> None:
    with pytest.raises(FormatError, match="corrupted compressed block contents"):
        decode(bytes.fromhex(MALFORMED[name]))


@both
@pytest.mark.parametrize("length", [1 << 20, 2**32 - 1])
def test_promise_that_no_stream_can_keep_allocates_nothing(decode: Decoder, length: int) -> None:
    decode(b"\x01\x00a")  # whatever the first call loads
    bomb = varint(length) + b"\x00a" + b"\xfe\x01\x00" * 100
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="corrupted compressed block contents"):
            decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1 << 19
    finally:
        tracemalloc.stop()


@both
def test_strongest_compression_the_format_has_is_accepted(decode: Decoder) -> None:
    copies = 5000
    assert decode(varint(1 + 64 * copies) + b"\x00a" + b"\xfe\x01\x00" * copies) == b"a" * (1 + 64 * copies)


repetitive = st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 400)).map(lambda pair: pair[0] * pair[1])


@needs_cramjam
@given(st.one_of(st.binary(max_size=2000), repetitive, st.lists(repetitive, max_size=4).map(b"".join)))
@example(bytes(70_000))
@example(bytes(range(256)) * 300)
def test_own_decoder_undoes_cramjam(data: bytes) -> None:
    stream = compress(data)
    length, start = decode_varint(stream, 0, len(stream))
    assert length == len(data)
    assert decode_elements(stream, start, length) == data
    assert decompress_snappy(stream) == data


element = st.one_of(
    st.binary(min_size=1, max_size=60).map(lambda data: bytes([(len(data) - 1) << 2]) + data),
    st.tuples(st.integers(0, 255), st.binary(max_size=5)).map(lambda pair: bytes([pair[0]]) + pair[1]),
    st.tuples(st.integers(0, 63), st.integers(0, 40)).map(lambda pair: bytes([pair[0] << 2 | 2, pair[1], 0])),
)


stream_like = st.builds(lambda length, parts: varint(length) + b"".join(parts), st.integers(0, 200), st.lists(element))


@needs_cramjam
@given(st.one_of(st.binary(max_size=60), stream_like))
@example(b"\x80\x00")
@example(b"\x81\x80\x80\x80\x00\x00a")
def test_both_decoders_agree_on_garbage(stream: bytes) -> None:
    assert outcome(without_cramjam, stream) == outcome(with_cramjam, stream)


@needs_cramjam
@given(st.binary(max_size=400), st.integers(0, 2**16), st.integers(1, 255))
def test_both_decoders_agree_on_a_damaged_byte(data: bytes, position: int, damage: int) -> None:
    stream = bytearray(compress(data * 3))
    stream[position % len(stream)] ^= damage
    assert outcome(without_cramjam, bytes(stream)) == outcome(with_cramjam, bytes(stream))


def test_decoder_that_yields_too_few_bytes_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("cramjam")
    fake.snappy = SimpleNamespace(decompress_raw=lambda stream: b"ab")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cramjam", fake)
    assert decompress_snappy(b"\x02\x04ab") == b"ab"
    with pytest.raises(FormatError, match=r"^corrupted compressed block contents$"):
        decompress_snappy(b"\x03\x08abc")


@pytest.mark.parametrize(("nbytes", "message"), [(2**32, ""), (2**32 - 1, ": 6 bytes cannot decompress to 4294967295")])
def test_length_that_no_block_has(nbytes: int, message: str) -> None:
    with pytest.raises(FormatError, match=f"^corrupted compressed block contents{message}$"):
        decompress_snappy(varint(nbytes) + b"\0")
