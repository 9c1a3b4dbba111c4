from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.support.partitions import slice_key
from tests.support.tables import varint
from tests.support.wire import bytes_field, shape_proto, varint_field
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import named_data_type
from tfbundle.format.v1 import StoredSlice, V1Index, decode_values

META = bytes.fromhex("0a26 0a0f 0a0161 12041202 0803 1801 22020a00 0a0f 0a0173 12041202 0802 1807 22020a00 1202 0801")
"""What TensorFlow wrote first for a = float32 [1, 2, 3] and s = strings ["ab", "c"]."""

A_ROW = bytes.fromhex("1217 0a0161 12020a00 1a0e 2a0c 0000803f 00000040 00004040")
S_ROW = bytes.fromhex("1210 0a0173 12020a00 1a07 42026162 420163")
A_KEY = bytes.fromhex("0061000101 01807f")
S_KEY = bytes.fromhex("0073000101 01807f")

FULL = bytes_field(4, bytes_field(1, b""))


def extent(start: int, length: int) -> bytes:
    return bytes_field(1, (varint_field(1, start) if start else b"") + varint_field(2, length))


def meta(*tensors: bytes, versions: bytes = varint_field(1, 1)) -> bytes:
    return bytes_field(1, b"".join(bytes_field(1, tensor) for tensor in tensors) + bytes_field(2, versions))


def tensor(name: bytes, shape: tuple[int, ...], slices: bytes, dtype: int = 1) -> bytes:
    return bytes_field(1, name) + bytes_field(2, shape_proto(*shape)) + varint_field(3, dtype) + slices


def collect(*tables: bytes) -> V1Index:
    index = V1Index()
    for number, table in enumerate(tables):
        index.add_table(number, table)
    return index


def row(field: int, contents: bytes) -> bytes:
    return bytes_field(2, bytes_field(1, b"t") + bytes_field(3, bytes_field(field, contents)))


class TestIndex:
    def test_worked_example(self) -> None:
        index = collect(META)
        entries = index.entries()
        assert {key: (entry.dtype, entry.shape, entry.slices) for key, entry in entries.items()} == {
            b"a": (1, (3,), ()),
            b"s": (7, (2,), ()),
        }
        assert entries[b"a"].size == 12
        assert index.stored == {b"a": StoredSlice(0, A_KEY), b"s": StoredSlice(0, S_KEY)}

    def test_scalar(self) -> None:
        index = collect(meta(tensor(b"w", (), bytes_field(4, b""))))
        (entry,) = index.entries().values()
        assert (entry.shape, entry.slices, entry.size) == ((), (), 4)
        assert index.stored[b"w"].key == bytes.fromhex("0077000100")

    @pytest.mark.parametrize(
        ("extents", "key"),
        [
            (extent(0, 4) + extent(0, 3), slice_key(b"w", ((0, 4), (0, 3)))),
            (extent(0, 4) + bytes_field(1, b""), slice_key(b"w", ((0, 4), (0, -1)))),
        ],
    )
    def test_slice_that_spans_the_tensor_is_the_tensor(self, extents: bytes, key: bytes) -> None:
        index = collect(meta(tensor(b"w", (4, 3), bytes_field(4, extents))))
        assert [*index.entries()] == [b"w"]
        assert index.stored == {b"w": StoredSlice(0, key)}

    def test_slices_of_two_files_make_one_tensor(self) -> None:
        parts = [bytes_field(4, extent(start, 2)) for start in (0, 2)]
        index = collect(*(meta(tensor(b"w", (4,), part)) for part in parts))
        entries = index.entries()
        keys = [slice_key(b"w", ((start, 2),)) for start in (0, 2)]
        assert [*entries] == sorted([*keys, b"w"])
        assert entries[b"w"].slices == (((0, 2),), ((2, 2),))
        assert [(entries[key].shape, entries[key].size) for key in keys] == [((2,), 8)] * 2
        assert index.stored == {key: StoredSlice(number, key) for number, key in enumerate(keys)}

    def test_string_takes_a_byte_at_least(self) -> None:
        """So that the entry is one that a bundle may have, whatever is in the strings."""
        (entry,) = collect(meta(tensor(b"s", (5,), FULL, 7))).entries().values()
        assert entry.size == 5

    def test_error_has_no_path_yet(self) -> None:
        with pytest.raises(FormatError) as caught:
            collect(meta(tensor(b"w", (-1,), FULL)))
        assert (caught.value.path, caught.value.part) == ("", "tensor 'w'")

    def test_no_tensors(self) -> None:
        assert collect(meta()).entries() == {}

    @pytest.mark.parametrize(
        ("tables", "reason"),
        [
            ([b""], "its first row lists no tensors: no V1 checkpoint, perhaps a bundle's index, renamed"),
            ([A_ROW], "its first row lists no tensors: no V1 checkpoint, perhaps a bundle's index, renamed"),
            ([b"\xff"], "SavedTensorSlices not parseable"),
            ([meta(tensor(b"", (2,), FULL))], "it lists a tensor without a name$"),
            ([meta(versions=varint_field(1, -1))], "Checkpoint producer version -1 below min producer 0"),
            ([meta(versions=varint_field(2, 2))], "Checkpoint min consumer version 2 above current version 1"),
            ([meta(versions=bytes_field(3, b"\x01"))], "Checkpoint disallows consumer version 1"),
            ([meta(tensor(b"w", (-1,), FULL))], "tensor 'w': Invalid tensor shape: "),
            ([meta(tensor(b"w", (2,), FULL, 99))], "tensor 'w': unknown dtype 99"),
            ([meta(tensor(b"w", (2,), FULL, 101))], "tensor 'w': reference dtype 101"),
            (
                [meta(tensor(b"w", (2,), FULL)), meta(tensor(b"w", (2,), FULL, 2))],
                "tensor 'w': its files disagree about dtype or shape$",
            ),
            (
                [meta(tensor(b"w", (2,), FULL)), meta(tensor(b"w", (3,), FULL))],
                "tensor 'w': its files disagree about dtype or shape$",
            ),
            (
                [meta(tensor(b"w", (2,), FULL)), meta(tensor(b"w", (2,), FULL))],
                r"tensor 'w': Overlapping slices: \(\(0, -1\),\) is stored twice$",
            ),
        ],
    )
    def test_what_cannot_be(self, tables: list[bytes], reason: str) -> None:
        with pytest.raises(FormatError, match=f"^{reason}"):
            collect(*tables)

    @pytest.mark.parametrize(
        ("slices", "reason"),
        [
            (
                bytes_field(4, extent(1, 2)),
                r"tensor 'w': Extent in dimension 0 out of bounds: shape = \[2\], slice = 1,2$",
            ),
            (bytes_field(4, extent(0, 1) * 2), r"tensor 'w': Mismatching ranks: shape = \[2\], slice = 0,1:0,1$"),
        ],
    )
    def test_slices_that_do_not_fit(self, slices: bytes, reason: str) -> None:
        with pytest.raises(FormatError, match=f"^{reason}"):
            collect(meta(tensor(b"w", (2,), slices)))


def negative(*values: int) -> bytes:
    return b"".join(varint(value & 0xFFFFFFFFFFFFFFFF) for value in values)


class TestValues:
    def test_worked_example(self) -> None:
        assert decode_values(A_ROW, named_data_type("float32"), (3,)).tolist() == [1, 2, 3]
        assert decode_values(S_ROW, named_data_type("string"), (2,)).tolist() == [b"ab", b"c"]

    @pytest.mark.parametrize(
        ("dtype", "field", "contents", "values"),
        [
            ("float64", 6, struct.pack("<2d", 1.5, -2), [1.5, -2]),
            ("complex64", 9, struct.pack("<4f", 1, 2, 3, -4), [1 + 2j, 3 - 4j]),
            ("complex128", 12, struct.pack("<4d", 1, 2, 3, -4), [1 + 2j, 3 - 4j]),
            ("int32", 7, negative(-1, 2**31 - 1), [-1, 2**31 - 1]),
            ("uint8", 7, negative(0, 255), [0, 255]),
            ("int16", 7, negative(-32768, 5), [-32768, 5]),
            ("int8", 7, negative(-128, 127), [-128, 127]),
            ("uint16", 7, negative(65535, 1), [65535, 1]),
            ("qint8", 7, negative(-3, 3), [-3, 3]),
            ("quint8", 7, negative(200, 3), [200, 3]),
            ("qint32", 7, negative(-70000, 3), [-70000, 3]),
            ("int64", 10, negative(-(2**63), 2**63 - 1), [-(2**63), 2**63 - 1]),
            ("bool", 11, b"\x01\x00", [True, False]),
            ("float16", 13, varint(49152) + varint(0x3C00), [-2.0, 1.0]),
        ],
    )
    def test_known_bytes(self, dtype: str, field: int, contents: bytes, values: list[Any]) -> None:
        found = decode_values(row(field, contents), named_data_type(dtype), (2, 1))
        assert found.shape == (2, 1)
        assert found.dtype == np.dtype(named_data_type(dtype).storage)
        assert found[:, 0].tolist() == values

    def test_field_in_two_pieces(self) -> None:
        data = bytes_field(5, struct.pack("<f", 1)) + bytes_field(5, struct.pack("<f", 2))
        value = bytes_field(2, bytes_field(3, data))
        assert decode_values(value, named_data_type("float32"), (2,)).tolist() == [1, 2]

    def test_numbers_in_two_pieces(self) -> None:
        """The pieces are put together before the numbers are told apart."""
        data = bytes_field(7, b"\x01\x80") + bytes_field(7, b"\x02\x03")
        value = bytes_field(2, bytes_field(3, data))
        assert decode_values(value, named_data_type("int32"), (3,)).tolist() == [1, 256, 3]

    def test_number_of_elements_that_no_integer_holds(self) -> None:
        with pytest.raises(FormatError, match=r"^0 values for shape \[4294967296, 4294967296\]$"):
            decode_values(bytes_field(2, b""), named_data_type("float32"), (2**32, 2**32))

    @pytest.mark.parametrize("shape", [(1,) * 65, (0, 2**62, 2**62)])
    def test_shape_that_numpy_has_not(self, shape: tuple[int, ...]) -> None:
        value = row(5, b"" if 0 in shape else bytes(4))
        with pytest.raises(UnsupportedError, match=r"^shape \[[01], .*\]: "):
            decode_values(value, named_data_type("float32"), shape)

    def test_no_elements(self) -> None:
        assert decode_values(bytes_field(2, b""), named_data_type("float32"), (0, 3)).shape == (0, 3)
        assert decode_values(bytes_field(2, b""), named_data_type("string"), (0,)).tolist() == []

    @pytest.mark.parametrize("dtype", ["uint32", "uint64", "bfloat16", "qint16", "quint16", "float8_e5m2", "variant"])
    def test_dtypes_that_v1_has_not(self, dtype: str) -> None:
        with pytest.raises(UnsupportedError, match=f"dtype {dtype} in a V1 checkpoint"):
            decode_values(row(7, b"\x01"), named_data_type(dtype), (1,))

    @pytest.mark.parametrize(
        ("dtype", "value", "reason"),
        [
            ("float32", row(5, bytes(4)), r"1 values for shape \[2\]"),
            ("float32", row(6, bytes(16)), r"0 values for shape \[2\]"),  # of another field
            ("float32", row(5, bytes(7)), "7 bytes are no whole number of values of 4 bytes"),
            ("int32", row(7, b"\x01\x80"), "malformed varint$"),
            ("int32", row(7, b"\x01\x02\x03"), r"3 values for shape \[2\]"),
            ("int32", row(7, b"\xff" * 12), "Parsed past limit"),
            ("string", row(8, b"ab"), r"1 values for shape \[2\]"),
            ("float32", b"\xff", "SavedTensorSlices not parseable"),
        ],
    )
    def test_damage(self, dtype: str, value: bytes, reason: str) -> None:
        with pytest.raises(FormatError, match=f"^{reason}"):
            decode_values(value, named_data_type(dtype), (2,))
