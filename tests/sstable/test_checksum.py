from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.sstable.checksum import combine_crc32c, crc32c, mask_crc32c, mask_crc32c_array, unmask_crc32c

WORDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this and the following from RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_checksums(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


@pytest.mark.parametrize(("crc", "masked"), [(0, 0xA282EAD8), (0xE3069283, 0xC78AB0E5)])
def test_known_masks(crc: int, masked: int) -> None:
    assert mask_crc32c(crc) == masked
    assert unmask_crc32c(masked) == crc


@given(WORDS)
def test_mask_and_unmask_are_inverse(word: int) -> None:
    assert unmask_crc32c(mask_crc32c(word)) == word
    assert mask_crc32c(unmask_crc32c(word)) == word


@given(st.lists(WORDS))
def test_masks_of_many(words: list[int]) -> None:
    masked = mask_crc32c_array(np.array(words, np.uint32))
    assert masked.dtype == np.uint32
    assert masked.tolist() == [mask_crc32c(word) for word in words]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_combining_equals_the_checksum_of_the_whole(first: bytes, second: bytes) -> None:
    assert combine_crc32c(crc32c(first), crc32c(second), len(second)) == crc32c(first + second)


@pytest.mark.parametrize("nbytes", [1, 2, 255, 4096, (1 << 20) + 3])
def test_combining_with_long_pieces(nbytes: int) -> None:
    piece = bytes(nbytes)
    assert combine_crc32c(0xE3069283, crc32c(piece), nbytes) == crc32c(b"123456789" + piece)


@given(WORDS, WORDS, WORDS, st.integers(0, 2**45), st.integers(0, 2**45))
def test_combining_is_associative_at_any_size(a: int, b: int, c: int, b_nbytes: int, c_nbytes: int) -> None:
    left = combine_crc32c(combine_crc32c(a, b, b_nbytes), c, c_nbytes)
    right = combine_crc32c(a, combine_crc32c(b, c, c_nbytes), b_nbytes + c_nbytes)
    assert left == right
