"""Partitioned tensors of every dtype, put together; the writer's slices against TensorFlow's."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tfbundle
from tests.support.bundles import write_bundle
from tests.support.handmade import HandmadeBundle, HandmadeTensor, bundle_files, flip
from tests.support.handmade import strings as strings_tensor
from tests.support.partitions import Extents, Piece, partitioned_bundle, partitions, slice_key
from tests.support.requirements import tensorflow
from tests.support.tables import write_table
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle import ChecksumError, DiffOptions, FormatError, TruncatedError, UnsupportedError
from tfbundle.format.ordered_code import encode_slice_key

Cut = tuple[tuple[int, ...], list[Piece]]

CODES = {
    1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 8: "c8", 9: "i8", 10: "?", 11: "i1", 13: "i4",
    14: "u2", 17: "u2", 18: "c16", 19: "f2", 22: "u4", 23: "u8", 24: "u1", 29: "u1",
}  # fmt: skip
"""numpy type codes of stored elements by number of the dtype."""

JOINED_BY_TENSORFLOW: tuple[str, ...] = (
    "float32",
    "float64",
    "int32",
    "uint8",
    "int16",
    "int8",
    "int64",
    "bool",
    "complex64",
)
JOINED_BY_TENSORFLOW += ("complex128", "bfloat16", "int4", "uint4")
LEFT_BY_TENSORFLOW = ("float16", "uint16", "uint32", "uint64", "float8_e5m2")


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def numbered(shape: tuple[int, ...], code: str) -> NDArray[Any]:
    """Return different bit patterns, as far as the width goes, that mean ordinary numbers."""
    count = np.arange(1, 1 + int(np.prod(shape)))
    return (count % 2 if code == "?" else count % 120).astype(code).reshape(shape)


def strings(shape: tuple[int, ...]) -> NDArray[np.object_]:
    array = np.empty(int(np.prod(shape)), object)
    array[:] = [b"x" * number + bytes([number]) for number in range(len(array))]
    return array.reshape(shape)


def draw_where(data: st.DataObject, shape: tuple[int, ...]) -> Any:
    return tuple(data.draw(st.one_of(st.integers(-size, size - 1), st.slices(size))) for size in shape)


class TestWhole:
    @given(partitions(4), st.sampled_from(sorted(CODES)), st.data())
    def test_numbers(self, cut: Cut, number: int, data: st.DataObject) -> None:
        shape, pieces = cut
        values = numbered(shape, CODES[number])
        shards = data.draw(st.lists(st.integers(0, 2), min_size=len(pieces), max_size=len(pieces)))
        where = draw_where(data, shape)
        with TemporaryDirectory() as folder:
            prefix = partitioned_bundle("w", values, number, pieces, shards).write(f"{folder}/m")
            with tfbundle.open(prefix) as bundle:
                whole, part = bundle["w"], np.asarray(bundle.read("w", where))
        assert whole.shape == shape
        assert whole.tobytes() == values.tobytes()
        assert whole.flags.c_contiguous
        assert whole.flags.writeable
        assert part.shape == values[where].shape
        assert part.tobytes() == np.ascontiguousarray(values[where]).tobytes()

    @given(partitions(), st.data())
    def test_strings(self, cut: Cut, data: st.DataObject) -> None:
        shape, pieces = cut
        values = strings(shape)
        where = draw_where(data, shape)
        with TemporaryDirectory() as folder:
            with tfbundle.create(f"{folder}/m") as writer:
                for piece in pieces:
                    writer.add_slice("w", values[piece.where], shape=shape, extents=piece.extents)
            with tfbundle.open(f"{folder}/m") as bundle:
                assert bundle["w"].tolist() == values.tolist()
                assert (
                    np.asarray(bundle.read("w", where), object).tolist() == np.asarray(values[where], object).tolist()
                )
                assert bundle.entries["w"].slices == (() if len(pieces) == 1 else tuple(p.extents for p in pieces))

    def test_one_string(self, tmp_path: Path) -> None:
        """Zeros at its end are part of it."""
        with tfbundle.create(tmp_path / "m") as writer:
            for number, value in enumerate([b"a\0", b"b\0\0"]):
                writer.add_slice("w", np.array([value], object), shape=(2,), extents=((number, 1),))
        found = tfbundle.open(tmp_path / "m").read("w", 1)
        assert (found.shape, found.dtype) == ((), object)
        assert found.item() == b"b\0\0"

    def test_into_memory_of_the_caller(self, tmp_path: Path) -> None:
        prefix = halves(tmp_path / "m")
        out = np.zeros(4, np.float32)
        with tfbundle.open(prefix) as bundle:
            assert bundle.read("w", out=out) is out
        assert out.tolist() == [0, 1, 2, 3]

    def test_slices_of_no_elements(self, tmp_path: Path) -> None:
        slices: list[Extents] = [((0, 0),), ((0, 4),), ((2, 0),)]
        prefix = bundle_of(tmp_path / "m", slices)
        assert tfbundle.load(prefix)["w"].tolist() == [0, 1, 2, 3]


VALUES = np.arange(4, dtype="<f4")


def bundle_of(path: Path, slices: Iterable[Extents], **changes: HandmadeTensor) -> str:
    """Write ``w``, 4 floats, with these slices; ``changes`` replaces the row of a slice by its start."""
    slices = list(slices)
    protos = b"".join(
        bytes_field(7, b"".join(bytes_field(1, varint_field(1, s) + varint_field(2, n)) for s, n in extents))
        for extents in slices
    )
    tensors = [HandmadeTensor(b"w", 1, (4,), b"", crc=0, extra=protos)]
    for extents in slices:
        ((start, length), *_) = extents
        values = VALUES[start : start + length]
        row = HandmadeTensor(slice_key(b"w", extents), 1, values.shape, values.tobytes())
        tensors.append(changes.get(f"at{start}", row))
    return HandmadeBundle([tensor for tensor in tensors if tensor.name]).write(path)


def halves(path: Path, **changes: HandmadeTensor) -> str:
    return bundle_of(path, [((0, 2),), ((2, 2),)], **changes)


class TestGaps:
    @given(partitions().filter(lambda cut: len(cut[1]) > 1), st.data())
    def test_gap_matters_only_where_it_is_touched(self, cut: Cut, data: st.DataObject) -> None:
        shape, pieces = cut
        values = numbered(shape, "f4")
        missing = pieces[data.draw(st.integers(0, len(pieces) - 1))]
        kept = [piece for piece in pieces if piece is not missing]
        box = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
        where = tuple(slice(start, data.draw(st.integers(start + 1, n))) for start, n in zip(box, shape, strict=True))
        gap = np.zeros(shape, bool)
        gap[missing.where] = True
        with TemporaryDirectory() as folder:
            prefix = partitioned_bundle("w", values, 1, kept, [0] * len(kept)).write(f"{folder}/m")
            with tfbundle.open(prefix) as bundle:
                with pytest.raises(FormatError, match="Does not have sufficient slices"):
                    bundle["w"]
                assert np.array_equal(bundle.read("w", kept[0].where), values[kept[0].where])
                if gap[where].any():
                    with pytest.raises(FormatError, match="Does not have sufficient slices"):
                        bundle.read("w", where)
                else:
                    assert np.array_equal(bundle.read("w", where), values[where])

    def test_tensorflow_agrees(self, tf: Any, tmp_path: Path) -> None:
        prefix = bundle_of(tmp_path / "m", [((0, 1),), ((2, 2),)])
        for spec, where in (("4 2,2", np.s_[2:]), ("4 2,1", np.s_[2:3]), ("4 1,2", np.s_[1:3]), ("", np.s_[:])):
            theirs = ours = None
            try:
                (theirs,) = restore(tf, prefix, "w", spec, tf.float32)
            except tf.errors.InvalidArgumentError as error:
                assert "Does not have sufficient slices" in error.message
            try:
                ours = tfbundle.open(prefix).read("w", where)
            except FormatError as error:
                assert "Does not have sufficient slices" in str(error)
            assert (theirs is None) == (ours is None), spec
            if ours is not None and theirs is not None:
                assert np.array_equal(theirs, ours)


class TestDamage:
    @pytest.mark.parametrize(
        ("slices", "message"),
        [
            ([((0, 3),), ((2, 2),)], "Overlapping slices: existing slice = 0,3, new slice = 2,2"),
            ([((2, 2),), ((0, 3),)], "Overlapping slices"),
            ([((0, 4),), ((1, 1),)], "Overlapping slices"),
            ([((0, 2),), ((2, 3),)], "Extent in dimension 0 out of bounds"),
            ([((0, 2), (0, 1))], "Mismatching ranks"),
        ],
    )
    def test_slices_that_do_not_fit(self, tmp_path: Path, slices: list[Extents], message: str) -> None:
        with pytest.raises(FormatError, match=message):
            tfbundle.load(bundle_of(tmp_path / "m", slices))

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (HandmadeTensor(slice_key(b"w", ((2, 2),)), 1, (1,), bytes(4)), r"float32 \[1\], expected float32 \[2\]"),
            (HandmadeTensor(slice_key(b"w", ((2, 2),)), 1, (3,), bytes(12)), r"float32 \[3\], expected float32 \[2\]"),
            (HandmadeTensor(slice_key(b"w", ((2, 2),)), 1, (2, 1), bytes(8)), r"\[2, 1\], expected float32 \[2\]"),
            (HandmadeTensor(slice_key(b"w", ((2, 2),)), 3, (2,), bytes(8)), r"int32 \[2\], expected float32 \[2\]"),
            (HandmadeTensor(b"", 1, (), b""), "not found in checkpoint: slice 2,2 has no entry"),
        ],
    )
    def test_rows_that_do_not_fit(self, tmp_path: Path, row: HandmadeTensor, message: str) -> None:
        prefix = halves(tmp_path / "m", at2=row)
        with tfbundle.open(prefix) as bundle:
            with pytest.raises(FormatError, match=message) as caught:
                bundle["w"]
            assert "tensor 'w'" in str(caught.value)
            with pytest.raises(FormatError, match=message):
                bundle.entries["w"]
        assert not tfbundle.verify(prefix).ok

    def test_scalar_with_slices(self, tmp_path: Path) -> None:
        entry = HandmadeTensor(b"w", 1, (), b"", crc=0, extra=bytes_field(7, b""))
        with pytest.raises(FormatError, match="Expecting positive rank"):
            tfbundle.load(HandmadeBundle([entry]).write(tmp_path / "m"))

    def test_checksum_of_a_slice_that_is_read_whole(self, tmp_path: Path) -> None:
        prefix = halves(tmp_path / "m")
        flip(f"{prefix}.data-00000-of-00001", 9)  # in the second slice
        with tfbundle.open(prefix) as bundle:
            assert bundle.read("w", np.s_[:2]).tolist() == [0, 1]
            for where in (np.s_[:], np.s_[1:], np.s_[2:]):
                with pytest.raises(ChecksumError, match="Checksum does not match"):
                    bundle.read("w", where)
            assert bundle.read("w", 3) == 3  # only a part of the slice

    def test_slices_that_share_bytes_take_no_memory(self, tmp_path: Path) -> None:
        """A small file could otherwise ask for any amount."""
        extents: list[Extents] = [((start, 1), (0, -1)) for start in range(60)]
        listed = b"".join(bytes_field(7, slice_message(each)) for each in extents)
        whole = HandmadeTensor(b"w", 1, (60, 2), b"", crc=0, extra=listed)
        first = HandmadeTensor(slice_key(b"w", extents[0]), 1, (1, 2), bytes(8))
        bundle = HandmadeBundle([whole, first])
        bundle.write(tmp_path / "m")
        rows = [(b"", bundle.header), (b"w", whole.placed(0))]
        rows += [(slice_key(b"w", each), first.placed(0)) for each in extents]
        (tmp_path / "m.index").write_bytes(write_table(sorted(rows)))
        with tfbundle.open(tmp_path / "m") as opened:
            with pytest.raises(FormatError, match="slices take 480 bytes, their data files have 8"):
                opened["w"]
            assert opened.read("w", 3).tolist() == [0, 0]

    def test_slice_that_its_shard_cannot_hold_takes_no_memory(self, tmp_path: Path) -> None:
        half: list[Extents] = [((0, 2**40),), ((2**40, 2**40),)]
        whole = entry_proto(1, shape_proto(2**41), 0) + b"".join(bytes_field(7, slice_message(each)) for each in half)
        rows = {encode_slice_key(b"w", each): entry_proto(1, shape_proto(2**40), 2**42) for each in half}
        write_bundle(str(tmp_path / "m"), {b"w": whole, **rows}, [bytes(8)])
        with pytest.raises(TruncatedError, match="but the file has 8"):
            tfbundle.load(tmp_path / "m")

    def test_index_that_does_not_fit(self, tmp_path: Path) -> None:
        with tfbundle.open(halves(tmp_path / "m")) as bundle:
            with pytest.raises(IndexError, match="out of bounds"):
                bundle.read("w", 4)
            with pytest.raises(IndexError, match="too many indices"):
                bundle.read("w", (0, 0))


def slice_message(extents: Extents) -> bytes:
    """Encode extents; a length of -1 is left out."""
    parts = ((varint_field(1, start), varint_field(2, size) if size >= 0 else b"") for start, size in extents)
    return b"".join(bytes_field(1, b"".join(part)) for part in parts)


class TestManyDimensions:
    """More of them than numpy has."""

    ONES = (1,) * 64
    BEFORE = ((0, 1),) * 64
    SHAPE = (*ONES, 4, 3)

    @pytest.fixture
    def prefix(self, tmp_path: Path) -> str:
        values = np.arange(12, dtype=np.float32).reshape(4, 3)
        parts = [(((start, 4), (at, size)), values[:, at : at + size]) for start, at, size in ((0, 0, 1), (0, 1, 2))]
        extents: list[Extents] = [(*self.BEFORE, *tail) for tail, _ in parts]
        listed = b"".join(bytes_field(7, slice_message(each)) for each in extents)
        whole = HandmadeTensor(b"w", 1, self.SHAPE, b"", crc=0, extra=listed)
        rows = [
            HandmadeTensor(encode_slice_key(b"w", each), 1, (*self.ONES, *part.shape), part.tobytes())
            for each, (_, part) in zip(extents, parts, strict=True)
        ]
        return HandmadeBundle([whole, *rows]).write(tmp_path / "m")

    def test_no_array(self, prefix: str) -> None:
        with pytest.raises(UnsupportedError, match="tensor 'w' has 66 dimensions, an array at most"):
            tfbundle.load(prefix)

    def test_slices_are_joined_and_compared_all_the_same(self, prefix: str, tmp_path: Path) -> None:
        tfbundle.halve(prefix, tmp_path / "h")
        with tfbundle.open(tmp_path / "h") as halved:
            assert halved.entries["w"].shape == self.SHAPE
            assert halved.entries["w"].slices == ()
            assert np.frombuffer(halved.payload("w"), np.float16).tolist() == list(range(12))
        assert tfbundle.diff(prefix, prefix).equal
        assert not tfbundle.diff(prefix, tmp_path / "h", options=DiffOptions(ignore_dtype=True)).values

    @pytest.mark.parametrize(
        ("shape", "reason"), [((1,) * 65, "has 65 dimensions, an array at most"), ((0, 2**62, 2), "of shape")]
    )
    def test_strings(self, tmp_path: Path, shape: tuple[int, ...], reason: str) -> None:
        tensor = strings_tensor("s", [b"x"] * math.prod(shape))
        prefix = HandmadeBundle([replace(tensor, shape=shape)]).write(tmp_path / "m")
        with pytest.raises(UnsupportedError, match=f"tensor 's' {reason}"):
            tfbundle.load(prefix)


def restore(tf: Any, prefix: str | Path, name: str, spec: str, dtype: Any) -> list[Any]:
    found = tf.raw_ops.RestoreV2(
        prefix=str(prefix), tensor_names=[name], shape_and_slices=[spec], dtypes=[tf.dtypes.as_dtype(dtype)]
    )
    return [value.numpy() for value in found]


SLICES: dict[str, Extents] = {"0,1:-": ((0, 1), (0, -1)), "1,3:0,2": ((1, 3), (0, 2)), "1,3:2,1": ((1, 3), (2, 1))}
SHAPE = (4, 3)


def pieces_of(values: NDArray[Any]) -> list[tuple[str, Extents, NDArray[Any]]]:
    parts = [values[:1], values[1:, :2], values[1:, 2:]]
    return [(spec, extents, part) for (spec, extents), part in zip(SLICES.items(), parts, strict=True)]


def values_of(tf: Any, dtype: str) -> NDArray[Any]:
    if dtype == "string":
        return strings(SHAPE)
    small = np.arange(12).reshape(SHAPE) % (2 if dtype == "bool" else 7)
    return np.asarray(small.astype(tf.dtypes.as_dtype(dtype).as_numpy_dtype))


class TestWriter:
    @pytest.mark.parametrize("dtype", [*JOINED_BY_TENSORFLOW, *LEFT_BY_TENSORFLOW, "string"])
    def test_bytes_of_tensorflow(self, tf: Any, tmp_path: Path, dtype: str) -> None:
        values = values_of(tf, dtype)
        pieces = pieces_of(values)
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / "tf"),
            tensor_names=["w"] * 3,
            shape_and_slices=[f"4 3 {spec}" for spec, _, _ in pieces],
            tensors=[tf.constant(part, dtype) for _, _, part in pieces],
        )
        with tfbundle.create(tmp_path / "ours") as writer:
            for _, extents, part in pieces:
                writer.add_slice("w", part, shape=SHAPE, extents=extents)
        assert bundle_files(tmp_path / "ours") == bundle_files(tmp_path / "tf")
        assert tfbundle.load(tmp_path / "tf")["w"].tolist() == values.tolist()

    @pytest.mark.parametrize("dtype", JOINED_BY_TENSORFLOW)
    def test_tensorflow_reads_any_part(self, tf: Any, tmp_path: Path, dtype: str) -> None:
        values = values_of(tf, dtype)
        with tfbundle.create(tmp_path / "m") as writer:
            for _, extents, part in pieces_of(values):
                writer.add_slice("w", part, shape=SHAPE, extents=extents)
        assert np.array_equal(tf.train.load_checkpoint(str(tmp_path / "m")).get_tensor("w"), values)
        (part,) = restore(tf, tmp_path / "m", "w", "4 3 0,3:1,2", dtype)
        assert np.array_equal(part, values[:3, 1:])
        assert np.array_equal(tfbundle.open(tmp_path / "m").read("w", np.s_[:3, 1:]), values[:3, 1:])

    @pytest.mark.parametrize("dtype", [*LEFT_BY_TENSORFLOW, "string"])
    def test_tensorflow_reads_slices_but_does_not_join_them(self, tf: Any, tmp_path: Path, dtype: str) -> None:
        values = values_of(tf, dtype)
        with tfbundle.create(tmp_path / "m") as writer:
            for _, extents, part in pieces_of(values):
                writer.add_slice("w", part, shape=SHAPE, extents=extents)
        for spec, _, part in pieces_of(values):
            (found,) = restore(tf, tmp_path / "m", "w", f"4 3 {spec}", dtype)
            assert found.tolist() == part.tolist()
        with pytest.raises(tf.errors.InvalidArgumentError, match="not supported"):
            restore(tf, tmp_path / "m", "w", "", dtype)
        assert tfbundle.load(tmp_path / "m")["w"].tolist() == values.tolist()

    @pytest.mark.parametrize(("spec", "extents"), [("0,4:0,3", ((0, 4), (0, 3))), ("-:-", ((0, -1), (0, -1)))])
    def test_slice_that_spans_the_tensor(self, tf: Any, tmp_path: Path, spec: str, extents: Extents) -> None:
        values = numbered(SHAPE, "f4")
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / "tf"), tensor_names=["w"], shape_and_slices=[f"4 3 {spec}"], tensors=[values]
        )
        with tfbundle.create(tmp_path / "ours") as writer:
            writer.add_slice("w", values, shape=SHAPE, extents=extents)
        assert bundle_files(tmp_path / "ours") == bundle_files(tmp_path / "tf")
        assert tfbundle.open(tmp_path / "ours").entries["w"].slices == ()

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            ({"shape": (4, 3), "extents": ((0, 2), (0, -1))}, "Overlapping slices"),
            ({"shape": (4, 3), "extents": ((1, 2), (0, 1))}, "for extents of|Overlapping slices"),
            ({"shape": (5, 3), "extents": ((2, 2), (0, -1))}, "disagree about dtype or shape"),
            ({"shape": (4, 3), "extents": ((3, 2), (0, -1))}, "out of bounds"),
            ({"shape": (4, 3), "extents": ((2, 2),)}, "Mismatching ranks"),
            ({"shape": (4, 3), "extents": ((3, 1), (0, -1))}, r"a slice of shape \(2, 3\) for extents of \(1, 3\)"),
            ({"shape": (4, 3), "extents": ((0, -1), (0, -1))}, "duplicate key|of shape"),
        ],
    )
    def test_slices_that_do_not_fit(self, tmp_path: Path, second: Any, message: str) -> None:
        rows = np.ones((2, 3), np.float32)
        with pytest.raises(ValueError, match=message), tfbundle.create(tmp_path / "m") as writer:
            writer.add_slice("w", rows, shape=SHAPE, extents=((0, 2), (0, -1)))
            writer.add_slice("w", rows, **second)
        assert list(tmp_path.iterdir()) == []

    def test_whole_tensor_must_have_its_shape(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="shape"), tfbundle.create(tmp_path / "m") as writer:
            writer.add_slice("w", np.ones((3, 3), np.float32), shape=SHAPE, extents=((0, 4), (0, 3)))
        assert list(tmp_path.iterdir()) == []

    def test_other_dtype_in_the_second_slice(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="disagree about dtype"), tfbundle.create(tmp_path / "m") as writer:
            writer.add_slice("w", np.ones((2, 3), np.float32), shape=SHAPE, extents=((0, 2), (0, -1)))
            writer.add_slice("w", np.ones((2, 3), np.float64), shape=SHAPE, extents=((2, 2), (0, -1)))

    def test_plain_tensor_of_that_name(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="duplicate key"), tfbundle.create(tmp_path / "m") as writer:
            writer.add("w", np.ones(SHAPE, np.float32))
            writer.add_slice("w", np.ones((2, 3), np.float32), shape=SHAPE, extents=((0, 2), (0, -1)))
