from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bundles import shard_path, write_worked_example
from tests.support.tables import WORKED_DATA, WORKED_TABLE
from tfbundle.bundle import writer as writer_module
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.target import IfExists
from tfbundle.bundle.writer import create_bundle, save
from tfbundle.errors import BundleExistsError, FormatError, UnsupportedError
from tfbundle.format.dtypes import DATA_TYPES
from tfbundle.storage.local import LocalStorage

STORAGE = LocalStorage()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return str(tmp_path / "model")


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def data_of(prefix: str) -> bytes:
    return Path(shard_path(prefix)).read_bytes()


class TestBytes:
    def test_worked_example_byte_for_byte(self, prefix: str, tmp_path: Path) -> None:
        save(prefix, {"v": np.array([1, 2], np.float32), "s": np.int32(3)})
        assert files(tmp_path) == {"model.index": WORKED_TABLE, "model.data-00000-of-00001": WORKED_DATA}

    def test_order_of_the_data_is_the_order_of_adding(self, prefix: str) -> None:
        save(prefix, {"b": np.uint8(1), "a": np.uint8(2), "c": np.uint8(3)})
        assert data_of(prefix) == b"\1\2\3"
        assert list(open_bundle(prefix)) == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("name", "values", "stored"),
        [
            ("bfloat16", [1, 2, 3], "803f 0040 4040"),
            ("float8_e5m2", [1, 2, 3], "3c 40 42"),
            ("float8_e4m3fn", [1, 2, 3], "38 40 44"),
            ("float8_e4m3fnuz", [1, 2, 3], "40 48 4c"),
            ("float8_e4m3b11fnuz", [1, 2, 3], "58 60 64"),
            ("float8_e5m2fnuz", [1, 2, 3], "40 44 46"),
            ("float4_e2m1fn", [1, 2, 3], "02 04 05"),
            ("int4", [-1, -8, 7, 3], "0f 08 07 03"),
            ("int2", [-1, -2, 1, 0], "03 02 01 00"),
            ("uint4", [15, 0], "0f 00"),
        ],
    )
    def test_types_that_numpy_lacks(self, prefix: str, name: str, values: list[int], stored: str) -> None:
        ml_dtypes = pytest.importorskip("ml_dtypes")
        save(prefix, {"t": np.array(values).astype(getattr(ml_dtypes, name))})
        assert data_of(prefix) == bytes.fromhex(stored)
        assert open_bundle(prefix).entries["t"].dtype == name

    @pytest.mark.parametrize(
        ("values", "stored"),
        [
            (np.array([1, 2, 3], np.float16), "003c 0040 0042"),
            (np.array([1 + 2j], np.complex64), "0000803f 00000040"),
            (np.array([True, False]), "01 00"),
            (np.array([1, 258], ">i2"), "0100 0201"),
            (np.array([[1, 2], [3, 4]], np.uint8).T, "01 03 02 04"),
            (np.arange(6, dtype=np.uint8)[::2], "00 02 04"),
            (np.array([1.5], ">f8"), "000000000000f83f"),
            (np.array([1 + 2j], ">c8"), "0000803f 00000040"),
            (7, "0700000000000000"),
            (1.5, "000000000000f83f"),
            (True, "01"),
        ],
    )
    def test_layout_in_memory_does_not_matter(self, prefix: str, values: Any, stored: str) -> None:
        save(prefix, {"t": values})
        assert data_of(prefix) == bytes.fromhex(stored)
        assert np.array_equal(open_bundle(prefix)["t"], values)

    def test_big_endian_text_of_objects(self, prefix: str) -> None:
        save(prefix, {"t": np.array(["é", "z"], ">U1")})
        assert open_bundle(prefix)["t"].tolist() == ["é".encode(), b"z"]

    @pytest.mark.parametrize(
        "value", [b"hello", "hello", np.bytes_(b"hello"), np.str_("hello"), np.array(b"hello", object)]
    )
    def test_scalar_string(self, prefix: str, value: Any) -> None:
        save(prefix, {"t": value})
        assert data_of(prefix) == bytes.fromhex("05d9c69c43") + b"hello"
        entry = open_bundle(prefix).entry("t")
        assert (entry.dtype, entry.shape, entry.crc32c) == (7, (), 0x29C0E0EC)

    def test_bytes_that_end_in_zero(self, prefix: str) -> None:
        save(prefix, {"t": np.array([b"a\0", b"\0"], object), "s": np.array(b"\x08\0", object)})
        bundle = open_bundle(prefix)
        assert bundle["t"].tolist() == [b"a\0", b"\0"]
        assert bundle["s"].item() == b"\x08\0"

    @pytest.mark.parametrize("value", [b"\x08\0", "text\0", [b"a\0", b"b"], ["a\0"], [[b"\0\0"]]])
    def test_plain_bytes_and_lists_of_them_that_end_in_zero(self, prefix: str, value: Any) -> None:
        save(prefix, {"t": value})
        expected = np.array(value, object)
        found = open_bundle(prefix)["t"]
        assert found.shape == expected.shape
        texts = [each.encode() if isinstance(each, str) else each for each in expected.reshape(-1).tolist()]
        assert found.reshape(-1).tolist() == texts

    def test_empty_string_tensor(self, prefix: str) -> None:
        save(prefix, {"t": np.empty((0, 2), object)})
        assert data_of(prefix).hex() == "d8ea82a2"

    def test_zero_size(self, prefix: str) -> None:
        save(prefix, {"first": np.uint8(9), "t": np.empty((3, 0), np.float32)})
        entry = open_bundle(prefix).entry("t")
        assert (entry.offset, entry.size, entry.crc32c, entry.shape) == (1, 0, 0xA282EAD8, (3, 0))

    def test_no_tensors(self, prefix: str, tmp_path: Path) -> None:
        save(prefix, {})
        assert list(open_bundle(prefix)) == []
        assert files(tmp_path)["model.data-00000-of-00001"] == b""

    def test_large_payload_goes_in_pieces(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer_module, "_CHUNK_NBYTES", 7)
        values = np.arange(50, dtype=np.int32)
        save(prefix, {"t": values, "s": np.array([b"x" * 100, b"y"], object)})
        bundle = open_bundle(prefix)
        assert np.array_equal(bundle["t"], values)
        assert bundle["s"].tolist() == [b"x" * 100, b"y"]


class TestDtypes:
    @pytest.mark.parametrize(
        "dtype", [dtype for dtype in DATA_TYPES.values() if dtype.is_memcpy], ids=lambda dtype: dtype.name
    )
    def test_any_dtype_from_its_bit_patterns(self, prefix: str, dtype: Any) -> None:
        raw = np.arange(4 * max(1, dtype.nbytes), dtype=np.uint8) % 2
        patterns = raw.view(dtype.storage)
        with create_bundle(prefix) as writer:
            writer.add("t", patterns, dtype=dtype.name)
        bundle = open_bundle(prefix)
        assert bundle.entries["t"].dtype == dtype.name
        assert bundle["t"].tobytes() == raw.tobytes()

    def test_named_dtype_keeps_the_layout_rules(self, prefix: str) -> None:
        with create_bundle(prefix) as writer:
            writer.add("t", np.array([0x3F80], ">u2"), dtype="bfloat16")
        assert data_of(prefix) == b"\x80\x3f"

    @pytest.mark.parametrize("name", ["bfloat16", "float16", "qint32", "complex128"])
    def test_width_must_fit(self, prefix: str, name: str) -> None:
        with create_bundle(prefix) as writer, pytest.raises(ValueError, match="bytes an element"):
            writer.add("t", np.zeros(2, np.uint8), dtype=name)

    @pytest.mark.parametrize("name", ["variant", "resource", "float", ""])
    def test_dtype_without_arrays(self, prefix: str, name: str) -> None:
        with create_bundle(prefix) as writer, pytest.raises(UnsupportedError):
            writer.add("t", np.zeros(2, np.uint8), dtype=name)

    def test_numbers_are_no_strings(self, prefix: str) -> None:
        with create_bundle(prefix) as writer, pytest.raises(UnsupportedError, match="bytes or text"):
            writer.add("t", np.zeros(2, np.uint8), dtype="string")

    @pytest.mark.parametrize(
        "value", [np.array(["2020"], "M8[D]"), np.zeros(1, "V3"), np.array([{}], object), None, {}]
    )
    def test_what_tensorflow_has_no_dtype_for(self, prefix: str, value: Any) -> None:
        with create_bundle(prefix) as writer:
            with pytest.raises(UnsupportedError):
                writer.add("t", value)
            writer.add("u", np.uint8(1))
        assert list(open_bundle(prefix)) == ["u"]


class TestNames:
    @pytest.mark.parametrize(
        "key",
        [b"w", b"a/b:0", b"\xff\xfe", b"\0", b"\0\0w", b"name\xc3\xa9", b" ", b"x" * 70_000, b"../../etc", b"\x1b]0;"],
    )
    def test_any_bytes(self, prefix: str, key: bytes) -> None:
        name = key.decode("utf-8", "surrogateescape")
        save(prefix, {name: np.uint8(7), "other": np.uint8(8)})
        bundle = open_bundle(prefix)
        assert sorted(bundle) == sorted([name, "other"])
        assert bundle[name] == 7
        assert key in bundle.index

    def test_empty_name(self, prefix: str) -> None:
        with create_bundle(prefix) as writer, pytest.raises(ValueError, match="needs a name"):
            writer.add("", 1)

    def test_duplicate_name(self, prefix: str) -> None:
        with create_bundle(prefix) as writer:
            writer.add("t", np.uint8(1))
            with pytest.raises(ValueError, match="Adding duplicate key: t"):
                writer.add("t", np.uint8(2))
        assert open_bundle(prefix)["t"] == 1
        assert data_of(prefix) == b"\1"

    def test_name_that_has_no_bytes(self, prefix: str) -> None:
        with create_bundle(prefix) as writer, pytest.raises(ValueError, match="surrogates not allowed"):
            writer.add("\ud800", 1)


class TestAlignment:
    @given(st.lists(st.integers(0, 70), max_size=6), st.sampled_from([1, 2, 8, 64, 100]))
    def test_payloads_start_at_multiples(
        self, tmp_path_factory: pytest.TempPathFactory, sizes: list[int], alignment: int
    ) -> None:
        prefix = str(tmp_path_factory.mktemp("aligned") / "model")
        with create_bundle(prefix, alignment=alignment) as writer:
            for number, size in enumerate(sizes):
                writer.add(f"t{number}", np.full(size, number + 1, np.uint8))
        bundle = open_bundle(prefix)
        assert all(info.offset % alignment == 0 for info in bundle.entries.values())
        assert [info.nbytes for info in bundle.entries.values()] == sizes
        padded = b"".join(bytes([n + 1]) * size + bytes(-size % alignment) for n, size in enumerate(sizes))
        assert data_of(prefix) == padded
        assert all(np.all(bundle[f"t{number}"] == number + 1) for number in range(len(sizes)))

    @pytest.mark.parametrize("alignment", [0, -8])
    def test_impossible(self, prefix: str, alignment: int) -> None:
        with pytest.raises(ValueError, match="alignment is"):
            create_bundle(prefix, alignment=alignment)


class TestPayload:
    VARIANT = (
        bytes.fromhex("4a0a16")
        + b"tensorflow::TensorList"
        + bytes.fromhex(
            "120c0001ffffffffffffffffff01"
            + "1a0a080112002a040000803f"
            + "1a0a080112002a0400000040"
            + "1a0a080112002a0400004040"
            "2d7bf537"
        )
    )

    def test_variant_goes_through_unchanged(self, prefix: str) -> None:
        with create_bundle(prefix) as writer:
            writer.add_payload("list", "variant", (), self.VARIANT)
        bundle = open_bundle(prefix)
        assert bundle.payload("list") == self.VARIANT
        assert bundle.entries["list"].nbytes == 79
        with create_bundle(prefix + "2") as writer:
            writer.add_payload("list", "variant", (), bundle.payload("list"))
        assert Path(prefix + "2.index").read_bytes() == Path(prefix + ".index").read_bytes()

    def test_strings_and_numbers(self, prefix: str) -> None:
        with create_bundle(prefix) as writer:
            writer.add_payload("s", "string", (), bytes.fromhex("05d9c69c43") + b"hello")
            writer.add_payload("v", "float32", (2,), bytes.fromhex("0000803f00000040"))
        bundle = open_bundle(prefix)
        assert bundle["s"].item() == b"hello"
        assert bundle["v"].tolist() == [1, 2]
        assert bundle.entry("v").crc32c == 0x35E53C59

    @pytest.mark.parametrize(
        ("dtype", "shape", "payload"),
        [
            ("float32", (2,), bytes(7)),
            ("float32", (), b""),
            ("string", (), bytes.fromhex("05d9c69c43") + b"hell"),
            ("string", (), bytes.fromhex("05d9c69c43") + b"hello!"),
            ("string", (), bytes.fromhex("05d9c69c44") + b"hello"),
            ("variant", (), VARIANT[:-1]),
            ("variant", (2,), VARIANT),
            ("variant", (), VARIANT[:-1] + b"\0"),
        ],
    )
    def test_payload_that_does_not_fit(self, prefix: str, dtype: str, shape: tuple[int, ...], payload: bytes) -> None:
        with create_bundle(prefix) as writer:
            writer.add("before", np.uint8(1))
            with pytest.raises(FormatError):
                writer.add_payload("t", dtype, shape, payload)
            writer.add("after", np.uint8(2))
        bundle = open_bundle(prefix)
        assert list(bundle) == ["after", "before"]
        assert bundle["after"] == 2

    def test_unknown_dtype(self, prefix: str) -> None:
        with create_bundle(prefix) as writer, pytest.raises(UnsupportedError):
            writer.add_payload("t", "float", (), b"")


def write_and_fail(prefix: str | Path, if_exists: IfExists) -> None:
    with create_bundle(prefix, if_exists=if_exists) as writer:
        writer.add("t", np.zeros(100))
        raise ZeroDivisionError


class TestCommit:
    def test_exception_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError):
            write_and_fail(tmp_path / "a" / "b" / "model", "error")
        assert files(tmp_path) == {}

    def test_exception_leaves_the_old_bundle(self, prefix: str, tmp_path: Path) -> None:
        write_worked_example(prefix)
        before = files(tmp_path)
        with pytest.raises(ZeroDivisionError):
            write_and_fail(prefix, "replace")
        assert files(tmp_path) == before

    def test_nothing_shows_before_the_end(self, prefix: str, tmp_path: Path) -> None:
        with create_bundle(prefix) as writer:
            writer.add("t", np.zeros(100))
            assert not any(name in ("model.index", "model.data-00000-of-00001") for name in files(tmp_path))
        assert sorted(files(tmp_path)) == ["model.data-00000-of-00001", "model.index"]

    def test_directories_are_made(self, tmp_path: Path) -> None:
        save(tmp_path / "a" / "b" / "model", {"t": 1})
        assert open_bundle(tmp_path / "a" / "b" / "model")["t"] == 1

    def test_empty_base_name(self, tmp_path: Path) -> None:
        save(str(tmp_path / "net") + os.sep, {"t": 1})
        assert sorted(files(tmp_path / "net")) == [".data-00000-of-00001", ".index"]
        assert open_bundle(tmp_path / "net")["t"] == 1

    @pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
    def test_existing_target_is_refused(self, prefix: str, tmp_path: Path, suffix: str) -> None:
        Path(prefix + suffix).write_bytes(b"theirs")
        with pytest.raises(BundleExistsError, match="exists already") as caught:
            create_bundle(prefix)
        assert caught.value.path == prefix + suffix
        assert isinstance(caught.value, FileExistsError)
        assert files(tmp_path) == {"model" + suffix: b"theirs"}
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)

    def test_replacing(self, prefix: str, tmp_path: Path) -> None:
        write_worked_example(prefix)
        save(prefix, {"new": np.arange(3)}, if_exists="replace")
        assert list(open_bundle(prefix)) == ["new"]
        assert sorted(files(tmp_path)) == ["model.data-00000-of-00001", "model.index"]

    def test_reader_of_the_old_bundle_keeps_it(self, prefix: str) -> None:
        write_worked_example(prefix)
        with open_bundle(prefix) as old:
            assert old["s"] == 3
            save(prefix, {"s": np.int64(4)}, if_exists="replace")
            assert old["v"].tolist() == [1, 2]
        assert open_bundle(prefix)["s"] == 4

    @pytest.mark.parametrize("choice", ["", "ignore", None])
    def test_unknown_choice(self, prefix: str, choice: Any) -> None:
        with pytest.raises(ValueError, match="if_exists is"):
            create_bundle(prefix, if_exists=choice)

    def test_another_writer_was_faster(self, prefix: str, tmp_path: Path) -> None:
        writer = create_bundle(prefix)
        writer.add("t", 1)
        write_worked_example(prefix)
        with pytest.raises(BundleExistsError), writer:
            pass
        assert files(tmp_path) == {"model.index": WORKED_TABLE, "model.data-00000-of-00001": WORKED_DATA}


@pytest.mark.parametrize(
    ("dtype", "values", "stored"),
    [("int4", [-1, -8, 7, 3], "0f080703"), ("int2", [-1, -2, 1, 0], "03020100"), ("uint4", [15, 1], "0f01")],
)
def test_types_narrower_than_a_byte(tmp_path: Path, dtype: str, values: list[int], stored: str) -> None:
    save_as = np.array(values, np.int8 if dtype.startswith("int") else np.uint8)
    with create_bundle(tmp_path / "m") as writer:
        writer.add("t", save_as, dtype=dtype)
    assert open_bundle(tmp_path / "m").payload("t").hex() == stored


def test_shards_of_the_replaced_bundle_go(tmp_path: Path) -> None:
    for name in ("m.index", "m.data-00000-of-00002", "m.data-00001-of-00002", "m2.data-00000-of-00002"):
        (tmp_path / name).write_bytes(b"old")
    save(tmp_path / "m", {"t": 1}, if_exists="replace")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["m.data-00000-of-00001", "m.index", "m2.data-00000-of-00002"]
