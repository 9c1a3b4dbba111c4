"""CRC-32C: masking, and combining the checksums of adjacent pieces.

Source: TensorFlow ``tsl/lib/hash/crc32c.h`` (``Mask``, ``Unmask``); combination as in zlib's ``crc32_combine``.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

__all__ = ["combine_crc32c", "crc32c", "mask_crc32c", "mask_crc32c_array", "unmask_crc32c"]

_MASK_DELTA = 0xA282EAD8
_POLYNOMIAL = 0x82F63B78  # reflected
_WORD = 0xFFFFFFFF
_ONE = 1 << 31


def mask_crc32c(crc: int) -> int:
    """Return the form in which files store ``crc``, so that a crc over data with crcs in it stays meaningful.

    Example:
        >>> hex(mask_crc32c(0xE3069283))
        '0xc78ab0e5'
    """
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _WORD


def mask_crc32c_array(crcs: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return ``mask_crc32c`` of each.

    Example:
        >>> mask_crc32c_array(np.array([0xE3069283], np.uint32)).tolist() == [0xC78AB0E5]
        True
    """
    return ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(_MASK_DELTA)


def unmask_crc32c(masked: int) -> int:
    """Return the crc that ``mask_crc32c`` turned into ``masked``.

    Example:
        >>> hex(unmask_crc32c(0xC78AB0E5))
        '0xe3069283'
    """
    rotated = (masked - _MASK_DELTA) & _WORD
    return ((rotated >> 17) | (rotated << 15)) & _WORD


def combine_crc32c(first: int, second: int, second_nbytes: int) -> int:
    """Return the crc of two adjacent pieces from the crc of each.

    A crc is the remainder of a polynomial, and bytes that follow multiply that by a power of x: so does this, by
    squaring.

    Cost: some tens of microseconds, a few for a power of two or a size seen before.

    Example:
        >>> combine_crc32c(crc32c(b"1234"), crc32c(b"56789"), 5) == crc32c(b"123456789")
        True
    """
    return _multiply(_power_of_bytes(second_nbytes), first) ^ second


@lru_cache(maxsize=256)
def _power_of_bytes(nbytes: int) -> int:
    """Return x to the power of eight times that."""
    power, exponent = _ONE, 3
    while nbytes:
        if nbytes & 1:
            power = _multiply(_square(exponent), power)
        nbytes >>= 1
        exponent += 1
    return power


@cache
def _square(exponent: int) -> int:
    """Return x, squared that many times."""
    root = _square(exponent - 1) if exponent else 0
    return _multiply(root, root) if exponent else _ONE >> 1


def _multiply(left: int, right: int) -> int:
    """Return the product of two polynomials modulo that of the crc; the highest bit is the coefficient of 1."""
    product = 0
    while left:
        if left & _ONE:
            product ^= right
        left = left << 1 & _WORD
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product
