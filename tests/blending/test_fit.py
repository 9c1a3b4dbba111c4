from __future__ import annotations

import numpy as np
import pytest

from tests.support.tables import masked_crc
from tfbundle.blending.fit import fit_array
from tfbundle.format.dtypes import DATA_TYPES, numpy_dtype
from tfbundle.format.entries import BundleEntry


def test_entry_of_a_new_tensor() -> None:
    tensor = fit_array(b"w", np.array([[1, 2]], np.int32), None)
    payload = bytes.fromhex("0100000002000000")
    assert bytes(tensor.payload) == payload
    crc = int.from_bytes(masked_crc(payload), "little")
    assert tensor.entry == BundleEntry(3, (1, 2), size=8, crc32c=crc)


@pytest.mark.parametrize("number", [number for number, dtype in DATA_TYPES.items() if dtype.is_memcpy])
def test_arrays_that_the_reader_hands_out_fit_again(number: int) -> None:
    dtype = DATA_TYPES[number]
    array = np.array([1, 0], dtype.storage).view(numpy_dtype(number))
    tensor = fit_array(b"w", array, BundleEntry(number, (2,)))
    assert tensor.entry.dtype == number
    assert bytes(tensor.payload) == np.array([1, 0], dtype.storage).tobytes()


@pytest.mark.parametrize("number", [number for number, dtype in DATA_TYPES.items() if not dtype.native])
def test_bit_patterns_fit_and_other_integers_do_not(number: int) -> None:
    dtype = DATA_TYPES[number]
    old = BundleEntry(number, (2,))
    assert fit_array(b"w", np.zeros(2, dtype.storage), old).entry.dtype == number
    with pytest.raises(ValueError, match=f"'w' is {dtype.name}, the array int64"):
        fit_array(b"w", np.zeros(2, np.int64), old)
    assert fit_array(b"w", np.zeros(2, np.int64), old, ["dtype"]).entry.dtype == 9


def test_raw_array_of_another_foreign_dtype_does_not_fit() -> None:
    from tfbundle.format.dtypes import BFLOAT16, raw_numpy_dtype

    quint16 = np.zeros(2, raw_numpy_dtype(DATA_TYPES[16]))
    with pytest.raises(ValueError, match="'w' is bfloat16"):
        fit_array(b"w", quint16, BundleEntry(BFLOAT16.number, (2,)))


def test_variant_is_no_array() -> None:
    with pytest.raises(ValueError, match="'v' is variant, the array int64"):
        fit_array(b"v", np.zeros(1, np.int64), BundleEntry(21, (1,), size=1))
