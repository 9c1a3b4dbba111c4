from __future__ import annotations

import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bundles import entry_of, shard_path, write_bundle, write_worked_example
from tests.support.partitions import slice_key
from tests.support.processes import run_script
from tests.support.tables import WORKED_ROWS
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.bundle import payloads
from tfbundle.bundle import region as region_module
from tfbundle.bundle.opening import load, open_bundle
from tfbundle.bundle.reader import TensorInfo
from tfbundle.bundle.writer import save
from tfbundle.errors import (
    BundleError,
    BundleNotFoundError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from tfbundle.format.dtypes import numpy_dtype

V_ENTRY, S_ENTRY = WORKED_ROWS[2][1], WORKED_ROWS[1][1]
HELLO = bytes.fromhex("05d9c69c43") + b"hello"
HELLO_CRC = 0x29C0E0EC


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return str(tmp_path / "model")


@pytest.fixture
def worked(prefix: str) -> str:
    write_worked_example(prefix)
    return prefix


def write_tensor(prefix: str, entry: bytes, payload: bytes) -> None:
    write_bundle(prefix, {b"t": entry}, [payload])


def test_a_plain_bundle_is_opened_without_what_others_need(worked: str) -> None:
    script = (
        "import sys, tfbundle\n"
        f"tfbundle.open({worked!r})\n"
        "print(sorted({'google.protobuf', 'difflib', 'tfbundle.bundle.v1', 'tfbundle.bundle.listing', "
        "'tfbundle.bundle.sweep', 'tfbundle.format.state'} & set(sys.modules)))"
    )
    assert run_script(script) == "[]\n"


class TestMapping:
    def test_worked_example(self, worked: str) -> None:
        with open_bundle(worked) as bundle:
            assert list(bundle) == ["s", "v"]
            assert len(bundle) == 2
            assert bundle["v"].tolist() == [1.0, 2.0]
            assert bundle["v"].dtype == np.float32
            assert bundle["s"].shape == ()
            assert bundle["s"] == 3

    def test_membership(self, worked: str) -> None:
        bundle = open_bundle(worked)
        assert "v" in bundle
        assert "w" not in bundle
        assert "" not in bundle
        for no_name in (b"v", 3, None):
            assert not bundle.__contains__(no_name)
        assert "\ud800" not in bundle
        assert bundle.get("w") is None

    def test_missing_tensor_has_close_matches(self, prefix: str) -> None:
        save(prefix, {"conv1/kernel": 1, "conv2/kernel": 2, "bias": 3})
        with pytest.raises(TensorNotFoundError, match="Key conv1/kernels not found in checkpoint") as caught:
            open_bundle(prefix)["conv1/kernels"]
        assert caught.value.matches[0] == "conv1/kernel"
        assert caught.value.path == prefix

    @pytest.mark.parametrize("name", ["", chr(0xDCFF), chr(0xD800)], ids=ascii)
    def test_missing_tensor_of_any_name(self, worked: str, name: str) -> None:
        with pytest.raises(TensorNotFoundError):
            open_bundle(worked)[name]

    def test_load(self, worked: str) -> None:
        assert {name: value.tolist() for name, value in load(worked).items()} == {"s": 3, "v": [1.0, 2.0]}
        assert list(load(worked, ["v"])) == ["v"]
        with pytest.raises(TensorNotFoundError):
            load(worked, ["v", "w"])

    def test_reading_after_close_opens_again(self, worked: str) -> None:
        bundle = open_bundle(worked)
        assert bundle["s"] == 3
        bundle.close()
        bundle.close()
        assert bundle["s"] == 3
        bundle.close()

    def test_threads_share_a_reader(self, prefix: str) -> None:
        tensors = {f"t{number}": np.full(1000, number, np.int32) for number in range(40)}
        save(prefix, tensors)
        with open_bundle(prefix) as bundle, ThreadPoolExecutor(8) as pool:
            for name, found in zip(tensors, pool.map(bundle.read, tensors), strict=True):
                assert np.array_equal(found, tensors[name])

    def test_arrays_belong_to_the_caller(self, worked: str) -> None:
        bundle = open_bundle(worked)
        first = bundle["v"]
        first[:] = 9
        assert bundle["v"].tolist() == [1.0, 2.0]


class TestEntries:
    def test_worked_example(self, worked: str) -> None:
        bundle = open_bundle(worked)
        assert list(bundle.entries) == ["s", "v"]
        assert bundle.entries["s"] == TensorInfo("s", "int32", (), 0, 8, 4, unmasked(0x287F3F63))
        assert bundle.entries["v"] == TensorInfo("v", "float32", (2,), 0, 0, 8, unmasked(0x35E53C59))
        assert "w" not in bundle.entries
        assert len(bundle.entries) == 2

    def test_no_shard_is_needed(self, worked: str) -> None:
        os.unlink(shard_path(worked))
        bundle = open_bundle(worked)
        assert [info.shape for info in bundle.entries.values()] == [(), (2,)]
        assert "v" in bundle

    def test_missing_tensor(self, worked: str) -> None:
        with pytest.raises(TensorNotFoundError):
            open_bundle(worked).entries["w"]

    def test_partitioned_tensor_lists_its_slices(self, prefix: str) -> None:
        write_partitioned(prefix)
        bundle = open_bundle(prefix)
        assert list(bundle) == ["w"]
        assert bundle.entries["w"].slices == (((0, 2), (0, -1)), ((2, 2), (0, -1)))
        assert bundle.entries["w"].shape == (4, 3)


def unmasked(masked: int) -> int:
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def write_partitioned(prefix: str) -> None:
    """Write float32 [4, 3] in two slices of two rows, keys as in the format's description."""
    full = b"\x0a\x00"
    slices = bytes_field(7, bytes_field(1, varint_field(2, 2)) + full)
    slices += bytes_field(7, bytes_field(1, varint_field(1, 2) + varint_field(2, 2)) + full)
    payload = np.arange(12, dtype="<f4").tobytes()
    rows = {
        bytes.fromhex("0077000101028082807f"): entry_of(1, shape_proto(2, 3), payload[:24]),
        bytes.fromhex("0077000101028282807f"): entry_of(1, shape_proto(2, 3), payload[24:], offset=24),
        b"w": varint_field(1, 1) + bytes_field(2, shape_proto(4, 3)) + slices,
    }
    write_bundle(prefix, rows, [payload])


class TestValues:
    @pytest.mark.parametrize(
        ("dtype", "payload", "values"),
        [
            (1, "0000803f 00000040", [1, 2]),
            (3, "01000000 ffffffff", [1, -1]),
            (10, "00 01", [False, True]),
            (8, "0000803f 00000040 00000000 000080bf", [1 + 2j, -1j]),
            (19, "003c 0040", [1, 2]),
            (14, "803f 0040", [1, 2]),
            (24, "3c 40", [1, 2]),
            (25, "38 40", [1, 2]),
            (26, "40 48", [1, 2]),
            (27, "58 60", [1, 2]),
            (28, "40 44", [1, 2]),
            (29, "0f 08", [-1, -8]),
            (30, "0f 08", [15, 8]),
            (31, "03 02", [-1, -2]),
            (32, "03 02", [3, 2]),
            (33, "02 04", [1, 2]),
            (11, "ff 01", [-1, 1]),
        ],
    )
    def test_known_bytes(self, prefix: str, dtype: int, payload: str, values: list[Any]) -> None:
        pytest.importorskip("ml_dtypes")
        data = bytes.fromhex(payload)
        write_tensor(prefix, entry_of(dtype, shape_proto(2), data), data)
        found = open_bundle(prefix)["t"]
        assert found.dtype == numpy_dtype(dtype)
        assert found.astype(complex if dtype == 8 else float).tolist() == values
        assert found.tobytes() == data

    def test_zero_size_past_the_end_of_the_shard(self, prefix: str) -> None:
        write_tensor(prefix, entry_of(1, shape_proto(2, 0, 3), b"", offset=10**12), b"")
        assert open_bundle(prefix)["t"].shape == (2, 0, 3)

    def test_zero_size_has_a_checksum_too(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(1, shape_proto(0), 0, crc32c=5), b"")
        with pytest.raises(ChecksumError):
            open_bundle(prefix)["t"]

    def test_zero_size_needs_its_shard(self, prefix: str) -> None:
        write_tensor(prefix, entry_of(1, shape_proto(0), b""), b"")
        os.unlink(shard_path(prefix))
        with pytest.raises(BundleNotFoundError):
            open_bundle(prefix)["t"]

    def test_payload_in_chunks(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        values = np.arange(1000, dtype=np.int32)
        save(prefix, {"t": values})
        monkeypatch.setattr(payloads, "CHUNK_NBYTES", 77)
        assert np.array_equal(open_bundle(prefix)["t"], values)

    def test_several_shards_and_gaps(self, prefix: str) -> None:
        one, two = np.array([1.5, 2.5], "<f4").tobytes(), np.array(7, "<i8").tobytes()
        rows = {
            b"a": entry_of(9, b"", two, offset=3, shard_id=1),
            b"b": entry_of(1, shape_proto(2), one, offset=5),
        }
        write_bundle(prefix, rows, [b"junk!" + one + b"more", b"gap" + two])
        assert open_bundle(prefix)["a"] == 7
        assert open_bundle(prefix)["b"].tolist() == [1.5, 2.5]

    def test_raw_integers_without_ml_dtypes_keep_their_dtype(
        self, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payloads = {number: bytes.fromhex("0201") for number in (14, 24, 29, 31, 33)}
        rows = {
            b"%d" % number: entry_of(number, shape_proto(1 if number == 14 else 2), data)
            for number, data in payloads.items()
        }
        write_bundle(prefix, rows, [bytes.fromhex("0201")])
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
        numpy_dtype.cache_clear()
        try:
            tensors = load(prefix)
            assert tensors["14"].tolist() == [0x0102]
            assert tensors["29"].tolist() == [2, 1]
            save(prefix + "2", tensors)
            again = open_bundle(prefix + "2")
            for name, info in open_bundle(prefix).entries.items():
                assert again.entries[name].dtype == info.dtype
                assert again[name].tobytes() == tensors[name].tobytes()
            names = {name: info.dtype for name, info in again.entries.items()}
        finally:
            numpy_dtype.cache_clear()
        assert names == {"14": "bfloat16", "24": "float8_e5m2", "29": "int4", "31": "int2", "33": "float4_e2m1fn"}

    @pytest.mark.parametrize(
        ("dtype", "payload", "values"),
        [
            (1, struct.pack(">2f", 1.5, -2), [1.5, -2]),
            (5, struct.pack(">2h", 1, -2), [1, -2]),
            (8, struct.pack(">4f", 1, 2, 3, 4), [1 + 2j, 3 + 4j]),
            (4, bytes([1, 255]), [1, 255]),
        ],
    )
    def test_big_endian(self, prefix: str, dtype: int, payload: bytes, values: list[Any]) -> None:
        header = varint_field(1, 1) + varint_field(2, 1) + bytes_field(3, varint_field(1, 1))
        rows = {
            b"pair": entry_of(dtype, shape_proto(2), payload),
            b"second": entry_of(dtype, b"", payload[len(payload) // 2 :], len(payload)),
        }
        write_bundle(prefix, rows, [payload + payload[len(payload) // 2 :]], header)
        with open_bundle(prefix) as bundle:
            assert bundle["pair"].tolist() == values
            assert bundle["second"].shape == ()
            assert bundle["second"].item() == values[1]
            assert bundle.read("pair", np.s_[1:]).tolist() == values[1:]
            assert bundle["pair"].dtype == numpy_dtype(dtype)


class TestStrings:
    @pytest.mark.parametrize("shape", [(), (1,), (2, 3), (3, 0), (0,)])
    def test_any_shape(self, prefix: str, shape: tuple[int, ...]) -> None:
        values = np.empty(shape, object)
        values.reshape(-1)[:] = [b"s%d" % number * number for number in range(values.size)]
        save(prefix, {"t": values})
        found = open_bundle(prefix)["t"]
        assert found.dtype == object
        assert found.shape == shape
        assert found.tolist() == values.tolist()

    def test_known_bytes(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(7, b"", len(HELLO), HELLO_CRC), HELLO)
        assert open_bundle(prefix)["t"].item() == b"hello"

    def test_no_elements_in_no_bytes(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(7, shape_proto(0), 0, 0xA282EAD8), b"")
        assert open_bundle(prefix)["t"].shape == (0,)

    @pytest.mark.parametrize("size", [1, 5, 9, 11, 14])
    def test_lengths_count_and_not_the_size_of_the_entry(self, prefix: str, size: int) -> None:
        write_tensor(prefix, entry_proto(7, b"", size, HELLO_CRC), HELLO + b"more")
        assert open_bundle(prefix)["t"].item() == b"hello"

    def test_size_past_the_end_of_the_file(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(7, b"", 15, HELLO_CRC), HELLO + b"more")
        with pytest.raises(TruncatedError):
            open_bundle(prefix)["t"]

    def test_part_of_a_string_tensor(self, prefix: str) -> None:
        values = np.array([[b"a", b"b"], [b"c", b"d"]], object)
        save(prefix, {"t": values})
        bundle = open_bundle(prefix)
        assert bundle.read("t", (1, 0)) == b"c"
        assert bundle.read("t", (slice(None), 1)).tolist() == [b"b", b"d"]

    @pytest.mark.parametrize("position", range(len(HELLO)))
    def test_any_damaged_byte_is_noticed(self, prefix: str, position: int) -> None:
        data = bytearray(HELLO)
        data[position] ^= 4
        write_tensor(prefix, entry_proto(7, b"", len(HELLO), HELLO_CRC), bytes(data))
        with pytest.raises(FormatError) as caught:
            open_bundle(prefix)["t"]
        assert caught.value.path == shard_path(prefix)
        assert caught.value.part == "tensor 't'"


class TestParts:
    @given(st.data())
    def test_part_is_what_numpy_picks(self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
        shape = tuple(data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
        values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
        prefix = str(tmp_path_factory.mktemp("part") / "model")
        save(prefix, {"first": np.zeros(3, np.int8), "t": values})
        bounds = st.one_of(st.none(), st.integers(-6, 6))
        picks = st.builds(slice, bounds, bounds, st.sampled_from([None, 1, 2, -1, -3]))
        where = tuple(data.draw(st.lists(picks, max_size=len(shape))))
        with pytest.MonkeyPatch.context() as patch, open_bundle(prefix) as bundle:
            patch.setattr(region_module, "CHUNK_NBYTES", data.draw(st.sampled_from([2, 10, 8 << 20])))
            found = bundle.read("t", where)
        assert found.shape == values[where].shape
        assert np.array_equal(found, values[where])

    def test_part_of_a_damaged_tensor_is_not_verified(self, prefix: str) -> None:
        data = np.arange(4, dtype="<i4").tobytes()
        write_tensor(prefix, entry_proto(3, shape_proto(4), 16, crc32c=1), data)
        bundle = open_bundle(prefix)
        assert bundle.read("t", slice(1, 3)).tolist() == [1, 2]
        with pytest.raises(ChecksumError):
            bundle.read("t")

    def test_part_of_a_tensor_whose_shard_is_too_short(self, prefix: str) -> None:
        data = np.arange(4, dtype="<i4").tobytes()
        write_tensor(prefix, entry_of(3, shape_proto(4), data), data[:-1])
        with pytest.raises(TruncatedError) as caught:
            open_bundle(prefix).read("t", 0)
        assert caught.value.path == shard_path(prefix)

    def test_index_errors_stay_index_errors(self, worked: str) -> None:
        with pytest.raises(IndexError):
            open_bundle(worked).read("v", 2)
        with pytest.raises(TypeError):
            open_bundle(worked).read("v", None)  # type: ignore[arg-type]

    def test_element(self, worked: str) -> None:
        found = open_bundle(worked).read("v", 1)
        assert found == 2.0
        assert found.shape == ()
        assert open_bundle(worked).read("s", ()).shape == ()


class TestOut:
    def test_values_go_there(self, worked: str) -> None:
        out = np.zeros(2, np.float32)
        assert open_bundle(worked).read("v", out=out) is out
        assert out.tolist() == [1.0, 2.0]

    def test_scalar(self, worked: str) -> None:
        out = np.zeros((), np.int32)
        assert open_bundle(worked).read("s", out=out) is out
        assert out == 3

    @pytest.mark.parametrize(
        "out",
        [
            np.zeros(3, np.float32),
            np.zeros((1, 2), np.float32),
            np.zeros(2, np.float64),
            np.zeros(2, np.int32),
            np.zeros(2, ">f4"),
            np.zeros(4, np.float32)[::2],
            np.frombuffer(bytes(8), np.float32),
        ],
        ids=["size", "shape", "width", "kind", "order", "stride", "read-only"],
    )
    def test_unsuitable(self, worked: str, out: Any) -> None:
        with pytest.raises(ValueError, match="out has dtype"):
            open_bundle(worked).read("v", out=out)

    def test_not_together_with_a_part(self, worked: str) -> None:
        with pytest.raises(ValueError, match="out takes a whole tensor"):
            open_bundle(worked).read("v", 0, out=np.zeros((), np.float32))


class TestDamage:
    @pytest.mark.parametrize("position", range(8))
    def test_any_damaged_byte_of_a_payload(self, worked: str, position: int) -> None:
        data = bytearray(Path(shard_path(worked)).read_bytes())
        data[position] ^= 1
        Path(shard_path(worked)).write_bytes(data)
        with pytest.raises(
            ChecksumError, match=r"Checksum does not match.*: stored [0-9]+ vs\. calculated [0-9]+"
        ) as caught:
            open_bundle(worked)["v"]
        assert caught.value.path == shard_path(worked)
        assert caught.value.part == "tensor 'v'"
        assert caught.value.stored == unmasked(0x35E53C59)
        assert caught.value.computed != caught.value.stored
        assert open_bundle(worked)["s"] == 3

    def test_checksums_may_be_ignored(self, worked: str) -> None:
        Path(shard_path(worked)).write_bytes(np.array([5, 6, 7], "<f4").tobytes())
        assert open_bundle(worked, checksums="ignore")["v"].tolist() == [5, 6]

    @pytest.mark.parametrize("nbytes", range(12))
    def test_shard_cut_short(self, worked: str, nbytes: int) -> None:
        os.truncate(shard_path(worked), nbytes)
        bundle = open_bundle(worked)
        with pytest.raises(TruncatedError, match="Read less bytes than requested") as caught:
            bundle["s"]
        assert caught.value.path == shard_path(worked)
        if nbytes < 8:
            with pytest.raises(TruncatedError):
                bundle["v"]
        else:
            assert bundle["v"].tolist() == [1.0, 2.0]

    def test_bytes_after_the_last_tensor_do_not_count(self, worked: str) -> None:
        with open(shard_path(worked), "ab") as file:
            file.write(b"more")
        assert open_bundle(worked)["s"] == 3

    def test_damaged_entry_names_index_and_tensor(self, prefix: str) -> None:
        write_bundle(prefix, {b"bad": b"\xff", b"s": S_ENTRY.replace(b"\x20\x08", b"")}, [b"\x03\0\0\0"])
        bundle = open_bundle(prefix)
        assert list(bundle) == ["bad", "s"]
        assert bundle["s"] == 3
        with pytest.raises(FormatError, match="not parseable") as caught:
            bundle["bad"]
        assert caught.value.path == prefix + ".index"
        assert caught.value.part == "tensor 'bad'"

    def test_damaged_entry_in_a_listing_names_its_file(self, prefix: str) -> None:
        write_tensor(prefix, b"\xff", b"")
        with pytest.raises(FormatError, match="BundleEntryProto not parseable") as caught:
            open_bundle(prefix).list_tensors()
        assert (caught.value.path, caught.value.part) == (f"{prefix}.index", "tensor 't'")

    def test_damaged_index_names_its_file(self, worked: str) -> None:
        os.truncate(worked + ".index", 100)
        with pytest.raises(FormatError, match="bad magic number") as caught:
            open_bundle(worked)
        assert caught.value.path == worked + ".index"
        assert caught.value.part == "footer"

    def test_payload_far_larger_than_the_shard_allocates_nothing(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(1, shape_proto(2**20, 2**18), 2**40), b"tiny")
        bundle = open_bundle(prefix)
        for where in (..., slice(None)):
            with pytest.raises(TruncatedError):
                bundle.read("t", where)
        with pytest.raises(TruncatedError):
            bundle.payload("t")

    def test_string_tensor_far_larger_than_the_shard(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(7, shape_proto(2**40), 2**40), b"tiny")
        with pytest.raises(TruncatedError):
            open_bundle(prefix)["t"]

    def test_slices_larger_than_their_shard(self, prefix: str) -> None:
        """Every one lies within it, so they share bytes; told before memory is allocated for the tensor."""
        slices = [(start, 2) for start in range(0, 18, 2)]  # one more than may share bytes
        listed = b"".join(
            bytes_field(7, bytes_field(1, (varint_field(1, start) if start else b"") + varint_field(2, length)))
            for start, length in slices
        )
        payload = bytes(8)
        rows = {slice_key(b"w", (extent,)): entry_of(1, shape_proto(2), payload) for extent in slices}
        write_bundle(prefix, {**rows, b"w": varint_field(1, 1) + bytes_field(2, shape_proto(18)) + listed}, [payload])
        with pytest.raises(FormatError, match=r"its slices take 72 bytes, their data files have 8$"):
            open_bundle(prefix)["w"]


class TestShards:
    def test_missing_shard_names_what_is_there(self, worked: str) -> None:
        os.rename(shard_path(worked), shard_path(worked, 0, 2))
        with pytest.raises(
            BundleNotFoundError, match=r"No such file or directory: shard 0 of 1; found model\.data-00000-of-00002"
        ) as caught:
            open_bundle(worked)["v"]
        assert caught.value.path == shard_path(worked)

    def test_shards_of_another_bundle_are_told_where_there_are_no_others(self, worked: str, tmp_path: Path) -> None:
        os.rename(shard_path(worked), shard_path(str(tmp_path / "renamed")))
        with pytest.raises(BundleNotFoundError, match=r"found renamed\.data-00000-of-00001"):
            open_bundle(worked)["v"]

    def test_no_data_file_at_all(self, worked: str) -> None:
        os.unlink(shard_path(worked))
        with pytest.raises(BundleNotFoundError, match="no data file is there"):
            open_bundle(worked)["v"]

    @pytest.mark.parametrize("shard_id", [1, 2, 2**31 - 1])
    def test_shard_number_out_of_range(self, prefix: str, shard_id: int) -> None:
        write_bundle(prefix, {b"t": entry_of(3, b"", bytes(4), shard_id=shard_id)}, [bytes(4)])
        with pytest.raises(BundleNotFoundError, match=f"shard {shard_id} of 1"):
            open_bundle(prefix)["t"]

    def test_shard_that_is_a_pipe(self, worked: str) -> None:
        os.unlink(shard_path(worked))
        os.mkfifo(shard_path(worked))
        with pytest.raises(UnsupportedError, match="not a regular file"):
            open_bundle(worked)["v"]


class TestUnsupported:
    def test_variant_gives_its_bytes(self, prefix: str) -> None:
        payload = bytes.fromhex("02") + b"ab" + bytes.fromhex("00000000")
        write_tensor(prefix, entry_proto(21, b"", len(payload)), payload)
        with pytest.raises(UnsupportedError, match=r"payload\(\) gives its bytes"):
            open_bundle(prefix)["t"]

    def test_resource(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(20, b"", 4), bytes(4))
        with pytest.raises(UnsupportedError, match="resource"):
            open_bundle(prefix)["t"]

    def test_more_dimensions_than_numpy_has(self, prefix: str) -> None:
        write_tensor(prefix, entry_of(3, shape_proto(*[1] * 65), bytes(4)), bytes(4))
        with pytest.raises(UnsupportedError, match="has 65 dimensions, an array at most"):
            open_bundle(prefix)["t"]


class TestPayload:
    def test_bytes_as_stored(self, worked: str) -> None:
        bundle = open_bundle(worked)
        assert bundle.payload("v").hex() == "0000803f00000040"
        assert bundle.payload("s").hex() == "03000000"

    def test_string_payload(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(7, b"", len(HELLO), HELLO_CRC), HELLO)
        assert open_bundle(prefix).payload("t") == HELLO

    def test_checksum_is_verified(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(7, b"", len(HELLO), HELLO_CRC), HELLO[:-1] + b"p")
        with pytest.raises(ChecksumError):
            open_bundle(prefix).payload("t")

    def test_missing_tensor(self, worked: str) -> None:
        with pytest.raises(TensorNotFoundError):
            open_bundle(worked).payload("w")

    def test_partitioned_tensor_has_none(self, prefix: str) -> None:
        write_partitioned(prefix)
        with pytest.raises(UnsupportedError) as caught:
            open_bundle(prefix).payload("w")
        assert str(caught.value) == f"{prefix}: tensor 'w' is partitioned: each slice has bytes of its own"
        assert open_bundle(prefix).check_payload("w") == 0

    def test_strings_have_no_stream_of_numbers(self, prefix: str) -> None:
        write_tensor(prefix, entry_proto(7, b"", len(HELLO), HELLO_CRC), HELLO)
        with pytest.raises(UnsupportedError) as caught:
            open_bundle(prefix).stream("t")
        assert str(caught.value) == f"{prefix}: tensor 't' of dtype string holds no numbers"

    def test_bytes_in_pieces(self, worked: str) -> None:
        row = open_bundle(worked).open_row("v")
        found = bytearray(8)
        for start in (0, 3, 6):
            row.read_into(memoryview(found)[start : start + 3])
        row.finish()
        assert found.hex() == "0000803f00000040"


@pytest.mark.parametrize(
    "entry",
    [V_ENTRY, entry_proto(7, b"", 8), entry_proto(21, b"", 8), entry_proto(1, shape_proto(2), 8, offset=2**62)],
)
@pytest.mark.parametrize("payload", [b"", b"\xff" * 8, b"\x80" * 30, bytes(30), b"\x03abc" + bytes(20)])
def test_every_failure_is_an_error_of_this_package(prefix: str, entry: bytes, payload: bytes) -> None:
    write_tensor(prefix, entry, payload)
    with pytest.raises(BundleError):
        open_bundle(prefix)["t"]
    with pytest.raises(BundleError):
        open_bundle(prefix).payload("t")


class TestReplacedMeanwhile:
    """A part of a tensor has no checksum of its own, so that nothing else would tell."""

    def test_data_files_of_another_index_are_refused(self, tmp_path: Path) -> None:
        prefix = str(tmp_path / "model")
        save(prefix, {"w": np.zeros(8, np.float32)})
        with open_bundle(prefix) as old:
            save(prefix, {"w": np.ones(8, np.float32)}, if_exists="replace")
            with pytest.raises(FormatError, match="the checkpoint was replaced while it was read") as caught:
                old.read("w", where=np.s_[2:4])
        assert caught.value.path == f"{prefix}.index"

    def test_data_files_that_are_open_are_the_old_ones(self, tmp_path: Path) -> None:
        prefix = str(tmp_path / "model")
        save(prefix, {"w": np.zeros(8, np.float32)})
        with open_bundle(prefix) as old:
            assert old.read("w", where=np.s_[2:4]).tolist() == [0, 0]
            save(prefix, {"w": np.ones(8, np.float32)}, if_exists="replace")
            assert old["w"].tolist() == [0] * 8

    def test_while_there_is_no_index(self, tmp_path: Path) -> None:
        prefix = str(tmp_path / "model")
        save(prefix, {"w": np.zeros(8, np.float32)})
        with open_bundle(prefix) as old:
            (tmp_path / "model.index").unlink()
            with pytest.raises(FormatError, match="the checkpoint was replaced"):
                old["w"]
