"""CRC-32C: masking, and combining the checksums of adjacent pieces.

Source: TensorFlow ``tsl/lib/hash/crc32c.h`` (``Mask``, ``Unmask``); combination as in zlib's ``crc32_combine``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

__all__ = ["combine_crc32c", "crc32c", "mask_crc32c", "mask_crc32c_array", "unmask_crc32c"]

_MASK_DELTA = 0xA282EAD8
_POLYNOMIAL = 0x82F63B78  # reflected
_WORD = 0xFFFFFFFF

_Matrix = tuple[int, ...]  # 32 columns over GF(2), column i is the image of bit i


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

    Cost: tens of microseconds for a new ``second_nbytes``, a few for one seen before.

    Example:
        >>> combine_crc32c(crc32c(b"1234"), crc32c(b"56789"), 5) == crc32c(b"123456789")
        True
    """
    return _times(_shift_matrix(second_nbytes), first) ^ second


@lru_cache(maxsize=256)
def _shift_matrix(nbytes: int) -> _Matrix:
    """Return the effect on a crc register of ``nbytes`` zero bytes."""
    power = (_POLYNOMIAL, *(1 << bit for bit in range(31)))  # one zero bit
    for _ in range(3):
        power = _square(power)
    result = tuple(1 << bit for bit in range(32))
    while nbytes:
        if nbytes & 1:
            result = tuple(_times(power, column) for column in result)
        nbytes >>= 1
        power = _square(power)
    return result


def _square(matrix: _Matrix) -> _Matrix:
    return tuple(_times(matrix, column) for column in matrix)


def _times(matrix: _Matrix, vector: int) -> int:
    product = 0
    for column in matrix:
        if vector & 1:
            product ^= column
        vector >>= 1
    return product
