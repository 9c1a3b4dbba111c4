"""V1 checkpoints opened like any bundle; those made here were written by TensorFlow, or by hand where it would not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tfbundle
from tests.support.handmade import flip
from tests.support.partitions import Extents, slice_key
from tests.support.requirements import tensorflow
from tests.support.tables import assemble_table, plain_block, varint, write_table
from tests.support.wire import bytes_field, shape_proto, varint_field
from tfbundle import BundleNotFoundError, ChecksumError, FormatError, UnsupportedError
from tfbundle.format.ordered_code import encode_slice_key

WHOLE = np.arange(12, dtype=np.float32).reshape(4, 3)
QUARTERS: list[Extents] = [((0, 2), (0, 1)), ((0, 2), (1, 2)), ((2, 2), (0, 1)), ((2, 2), (1, 2))]


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def slice_proto(extents: Extents) -> bytes:
    parts = ((varint_field(1, start) if start else b"") + varint_field(2, length) for start, length in extents)
    return b"".join(bytes_field(1, part) for part in parts)


def part_of(extents: Extents) -> NDArray[np.float32]:
    return WHOLE[tuple(slice(start, start + length) for start, length in extents)]


def v1_rows(slices: list[Extents], drop: list[Extents] | None = None) -> list[tuple[bytes, bytes]]:
    """Return the rows of one file that lists these slices of ``w`` and has all of them but some."""
    listed = b"".join(bytes_field(4, slice_proto(extents)) for extents in slices)
    tensor = bytes_field(1, b"w") + bytes_field(2, shape_proto(4, 3)) + varint_field(3, 1) + listed
    rows = [(b"", bytes_field(1, bytes_field(1, tensor) + bytes_field(2, varint_field(1, 1))))]
    for extents in slices:
        values = bytes_field(3, bytes_field(5, part_of(extents).tobytes()))
        data = bytes_field(1, b"w") + bytes_field(2, slice_proto(extents)) + values
        if extents not in (drop or []):
            rows.append((slice_key(b"w", extents), bytes_field(2, data)))
    return sorted(rows)


def write_v1(path: Path, *files: list[Extents]) -> Path:
    """Write one file, or shards."""
    for number, slices in enumerate(files):
        name = path.name if len(files) == 1 else f"{path.name}-{number:05d}-of-{len(files):05d}"
        (path.parent / name).write_bytes(write_table(v1_rows(slices)))
    return path


def restore(tf: Any, pattern: str | Path) -> Any:
    return tf.raw_ops.Restore(file_pattern=str(pattern), tensor_name="w", dt=tf.float32).numpy()


class TestReading:
    def test_what_the_index_says(self, tf: Any, tmp_path: Path) -> None:
        names = ["b", "a", "s"]
        data = [np.float32(7), np.arange(3, dtype=np.int64), np.array([b"x", b"yz"])]
        tf.raw_ops.Save(filename=str(tmp_path / "v1"), tensor_names=names, data=data)
        with tfbundle.open(tmp_path / "v1") as bundle:
            assert bundle.is_v1
            assert list(bundle) == ["a", "b", "s"]
            assert len(bundle) == 3
            assert "b" in bundle
            assert "c" not in bundle
            assert {name: (info.dtype, info.shape) for name, info in bundle.entries.items()} == {
                "a": ("int64", (3,)),
                "b": ("float32", ()),
                "s": ("string", (2,)),
            }
            assert bundle["b"] == 7
            assert bundle.read("a", np.s_[1:]).tolist() == [1, 2]
            assert bundle.read("s", 1).item() == b"yz"
            assert bundle.read("s", 1).dtype == object
            with pytest.raises(tfbundle.TensorNotFoundError, match="Key c not found"):
                bundle["c"]

    def test_arrays_belong_to_the_caller(self, tf: Any, tmp_path: Path) -> None:
        tf.raw_ops.Save(filename=str(tmp_path / "v1"), tensor_names=["w"], data=[WHOLE])
        with tfbundle.open(tmp_path / "v1") as bundle:
            bundle["w"][:] = -1
            bundle.read("w", np.s_[1:])[:] = -1
            assert np.array_equal(bundle["w"], WHOLE)
            out = np.empty_like(WHOLE)
            assert bundle.read("w", out=out) is out
            assert np.array_equal(out, WHOLE)

    @pytest.mark.parametrize("files", [[QUARTERS], [QUARTERS[:1], QUARTERS[1:]], [QUARTERS[::2], QUARTERS[1::2]]])
    def test_slices(self, tf: Any, tmp_path: Path, files: list[list[Extents]]) -> None:
        path = write_v1(tmp_path / "v1", *files)
        pattern = path if len(files) == 1 else f"{path}-?????-of-{len(files):05d}"
        assert np.array_equal(restore(tf, pattern), WHOLE)
        with tfbundle.open(path) as bundle:
            assert np.array_equal(bundle["w"], WHOLE)
            assert set(bundle.entries["w"].slices) == set(QUARTERS)
            for where in (np.s_[1], np.s_[1:3, 1], np.s_[::-2, ::2], np.s_[..., 0]):
                assert np.array_equal(bundle.read("w", where), WHOLE[where])
        assert tfbundle.verify(path).ok

    def test_gap(self, tf: Any, tmp_path: Path) -> None:
        path = write_v1(tmp_path / "v1", QUARTERS[1:])
        with pytest.raises(tf.errors.InvalidArgumentError, match="Error copying slice data"):
            restore(tf, path)
        with tfbundle.open(path) as bundle:
            with pytest.raises(FormatError, match="Does not have sufficient slices"):
                bundle["w"]
            assert np.array_equal(bundle.read("w", np.s_[:, 1:]), WHOLE[:, 1:])
            assert np.array_equal(bundle.read("w", np.s_[2:]), WHOLE[2:])
        assert not tfbundle.verify(path).ok

    def test_snappy(self, tf: Any, tmp_path: Path) -> None:
        block = plain_block(v1_rows(QUARTERS))
        pieces = [block[start : start + 60] for start in range(0, len(block), 60)]
        stream = varint(len(block)) + b"".join(bytes([len(piece) - 1 << 2]) + piece for piece in pieces)
        (tmp_path / "v1").write_bytes(assemble_table([(b"\xff", stream)], 1))
        assert np.array_equal(restore(tf, tmp_path / "v1"), WHOLE)
        assert np.array_equal(tfbundle.load(tmp_path / "v1")["w"], WHOLE)

    def test_bundle_goes_before_a_v1_checkpoint(self, tmp_path: Path) -> None:
        write_v1(tmp_path / "m", QUARTERS)
        tfbundle.save(tmp_path / "m", {"v": np.float32(1)})
        assert list(tfbundle.open(tmp_path / "m")) == ["v"]


class TestDamage:
    def test_tensor_without_a_name(self, tmp_path: Path) -> None:
        tensor = bytes_field(2, shape_proto(4)) + varint_field(3, 1) + bytes_field(4, bytes_field(1, b""))
        rows = [(b"", bytes_field(1, bytes_field(1, tensor) + bytes_field(2, varint_field(1, 1))))]
        (tmp_path / "v1").write_bytes(write_table(rows))
        with pytest.raises(FormatError, match="a tensor without a name"):
            tfbundle.open(tmp_path / "v1")

    def test_tensor_without_slices(self, tmp_path: Path) -> None:
        tensor = bytes_field(1, b"w") + bytes_field(2, shape_proto(0, 2)) + varint_field(3, 1)
        rows = [(b"", bytes_field(1, bytes_field(1, tensor) + bytes_field(2, varint_field(1, 1))))]
        (tmp_path / "v1").write_bytes(write_table(rows))
        with pytest.raises(FormatError, match="tensor 'w': no slice of it is stored"):
            tfbundle.load(tmp_path / "v1")
        assert [damage.tensor for damage in tfbundle.verify(tmp_path / "v1").damages] == ["w"]
        with pytest.raises(FormatError, match="no slice of it is stored"):
            tfbundle.halve(tmp_path / "v1", tmp_path / "h")

    def test_slices_that_their_rows_cannot_hold_take_no_memory(self, tmp_path: Path) -> None:
        half: list[Extents] = [((0, 2**40),), ((2**40, 2**40),)]
        listed = b"".join(bytes_field(4, slice_proto(extents)) for extents in half)
        tensor = bytes_field(1, b"w") + bytes_field(2, shape_proto(2**41)) + varint_field(3, 1) + listed
        rows = [(b"", bytes_field(1, bytes_field(1, tensor) + bytes_field(2, varint_field(1, 1))))]
        rows += [(encode_slice_key(b"w", extents), bytes_field(2, bytes_field(1, b"w"))) for extents in half]
        (tmp_path / "v1").write_bytes(write_table(rows))
        with pytest.raises(FormatError, match="1099511627776 values in 5 bytes"):
            tfbundle.load(tmp_path / "v1")

    def test_more_dimensions_than_numpy_has(self, tmp_path: Path) -> None:
        whole = bytes_field(1, b"") * 65
        tensor = bytes_field(1, b"w") + bytes_field(2, shape_proto(*[1] * 65)) + varint_field(3, 1)
        tensor += bytes_field(4, whole)
        rows = [(b"", bytes_field(1, bytes_field(1, tensor) + bytes_field(2, varint_field(1, 1))))]
        rows.append((encode_slice_key(b"w", ((0, -1),) * 65), bytes_field(2, bytes_field(3, bytes_field(5, bytes(4))))))
        (tmp_path / "v1").write_bytes(write_table(rows))
        with pytest.raises(UnsupportedError):
            tfbundle.load(tmp_path / "v1")
        assert [damage.kind for damage in tfbundle.verify(tmp_path / "v1").damages] == ["UnsupportedError"]

    def test_overlap(self, tf: Any, tmp_path: Path) -> None:
        path = write_v1(tmp_path / "v1", [*QUARTERS[:2], ((1, 3), (0, 1)), QUARTERS[3]])
        with pytest.raises(tf.errors.OpError):
            restore(tf, path)
        with pytest.raises(FormatError, match="Overlapping slices") as caught:
            tfbundle.load(path)
        assert str(caught.value).startswith(f"{path}: tensor 'w': ")

    def test_slice_in_two_files(self, tf: Any, tmp_path: Path) -> None:
        path = write_v1(tmp_path / "v1", QUARTERS, QUARTERS[3:])
        with pytest.raises(tf.errors.OpError):
            restore(tf, f"{path}-?????-of-00002")
        with pytest.raises(FormatError, match="Overlapping slices"):
            tfbundle.load(path)

    def test_row_that_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "v1").write_bytes(write_table(v1_rows(QUARTERS, drop=[QUARTERS[2]])))
        with tfbundle.open(tmp_path / "v1") as bundle:
            assert np.array_equal(bundle.read("w", np.s_[:2]), WHOLE[:2])
            with pytest.raises(FormatError, match="not found in checkpoint") as caught:
                bundle["w"]
        assert str(tmp_path / "v1") in str(caught.value)

    def test_block_checksum(self, tf: Any, tmp_path: Path) -> None:
        """The second tensor is in a block of its own, so that the list of tensors survives."""
        names = ["a", "b"]
        big = np.arange(70_000, dtype=np.float32)
        tf.raw_ops.Save(filename=str(tmp_path / "v1"), tensor_names=names, data=[big, big + 1])
        flip(tmp_path / "v1", 400_000)
        with tfbundle.open(tmp_path / "v1") as bundle:
            assert list(bundle) == names
            with pytest.raises(ChecksumError, match="block checksum mismatch") as caught:
                bundle["b"]
            assert str(tmp_path / "v1") in str(caught.value)
            assert np.array_equal(bundle["a"], big)
        verdict = tfbundle.verify(tmp_path / "v1")
        assert [damage.tensor for damage in verdict.damages] == ["b"]

    def test_table_without_a_list(self, tf: Any, tmp_path: Path) -> None:
        (tmp_path / "v1").write_bytes(write_table(v1_rows(QUARTERS)[1:]))
        with pytest.raises(tf.errors.OpError, match="Failed to find the saved tensor slices"):
            restore(tf, tmp_path / "v1")
        with pytest.raises(FormatError, match="Failed to find the saved tensor slices"):
            tfbundle.open(tmp_path / "v1")

    def test_slice_beyond_the_tensor(self, tf: Any, tmp_path: Path) -> None:
        """The error names the file and the tensor, of several."""
        beyond: list[Extents] = [((2, 9), (0, 3))]
        write_v1(tmp_path / "v1", QUARTERS[:2], beyond)
        with pytest.raises(tf.errors.OpError):
            restore(tf, f"{tmp_path / 'v1'}-?????-of-00002")
        with pytest.raises(FormatError, match="Extent in dimension 0 out of bounds") as caught:
            tfbundle.open(tmp_path / "v1")
        assert str(caught.value).startswith(f"{tmp_path / 'v1'}-00001-of-00002: tensor 'w': ")

    def test_missing_shard(self, tmp_path: Path) -> None:
        path = write_v1(tmp_path / "v1", QUARTERS[:1], QUARTERS[1:])
        (tmp_path / "v1-00001-of-00002").unlink()
        with pytest.raises(BundleNotFoundError, match="No such file or directory: one of 2 shards"):
            tfbundle.open(path)

    def test_file_that_is_no_table(self, tf: Any, tmp_path: Path) -> None:
        (tmp_path / "v1").write_bytes(b"some text" * 20)
        with pytest.raises(tf.errors.DataLossError, match="Unable to open table file"):
            restore(tf, tmp_path / "v1")
        with pytest.raises(UnsupportedError, match="neither a checkpoint's prefix nor one of its files"):
            tfbundle.open(tmp_path / "v1")

    def test_other_shape_in_the_other_shard(self, tmp_path: Path) -> None:
        write_v1(tmp_path / "v1", QUARTERS[:1], QUARTERS[1:])
        other = bytes_field(1, b"w") + bytes_field(2, shape_proto(4, 4)) + varint_field(3, 1)
        (tmp_path / "v1-00001-of-00002").write_bytes(write_table([(b"", bytes_field(1, bytes_field(1, other)))]))
        with pytest.raises(FormatError, match="its files disagree") as caught:
            tfbundle.open(tmp_path / "v1")
        assert "v1-00001-of-00002" in str(caught.value)


def v1_strings(*values: bytes) -> list[tuple[bytes, bytes]]:
    """Return the rows of a file with one tensor of strings, ``s``."""
    tensor = bytes_field(1, b"s") + bytes_field(2, shape_proto(len(values))) + varint_field(3, 7)
    tensor += bytes_field(4, bytes_field(1, b""))
    proto = bytes_field(3, b"".join(bytes_field(8, value) for value in values))
    data = bytes_field(1, b"s") + bytes_field(2, bytes_field(1, b"")) + proto
    rows = [(b"", bytes_field(1, bytes_field(1, tensor) + bytes_field(2, varint_field(1, 1))))]
    return [*rows, (slice_key(b"s", ((0, -1),)), bytes_field(2, data))]


class TestOneTensor:
    """Without slices, in files made by hand."""

    def test_numbers(self, tmp_path: Path) -> None:
        path = write_v1(tmp_path / "v1", [((0, 4), (0, 3))])
        with tfbundle.open(path) as bundle:
            assert np.array_equal(bundle["w"], WHOLE)
            assert np.array_equal(bundle.read("w", np.s_[1:3, ::-1]), WHOLE[1:3, ::-1])
            out = np.empty_like(WHOLE)
            assert bundle.read("w", out=out) is out
            assert np.array_equal(out, WHOLE)
            assert bundle.check_payload("w") == WHOLE.nbytes
            with pytest.raises(UnsupportedError, match=r"^tensor 'w' has no payload of its own in a V1 checkpoint$"):
                bundle.payload("w")

    def test_bytes_in_pieces(self, tmp_path: Path) -> None:
        with tfbundle.open(write_v1(tmp_path / "v1", [((0, 4), (0, 3))])) as bundle:
            row = bundle.open_row("w")
            found = bytearray(WHOLE.nbytes)
            for start in range(0, len(found), 7):
                row.read_into(memoryview(found)[start : start + 7])
            row.finish()
        assert bytes(found) == WHOLE.tobytes()
        assert not row.swap

    def test_part_of_several_slices(self, tmp_path: Path) -> None:
        with tfbundle.open(write_v1(tmp_path / "v1", QUARTERS[::2], QUARTERS[1::2])) as bundle:
            assert np.array_equal(bundle["w"], WHOLE)
            assert np.array_equal(bundle.read("w", np.s_[1:3, 1:]), WHOLE[1:3, 1:])

    def test_strings(self, tmp_path: Path) -> None:
        (tmp_path / "v1").write_bytes(write_table(v1_strings(b"ab", b"")))
        with tfbundle.open(tmp_path / "v1") as bundle:
            assert bundle["s"].tolist() == [b"ab", b""]
            assert bundle.read("s", 0).item() == b"ab"

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (b"", "6 values in 4 bytes"),  # told before memory is allocated for the tensor
            (bytes(20), r"5 values for shape \[2, 3\]"),
            (bytes(23), "23 bytes are no whole number of values of 4 bytes"),
        ],
    )
    def test_row_with_too_few_values(self, tmp_path: Path, values: bytes, message: str) -> None:
        rows = dict(v1_rows([((0, 2), (0, 3)), ((2, 2), (0, 3))]))
        rows[slice_key(b"w", ((2, 2), (0, 3)))] = bytes_field(
            2, bytes_field(3, bytes_field(5, values) if values else b"")
        )
        (tmp_path / "v1").write_bytes(write_table(rows.items()))
        with tfbundle.open(tmp_path / "v1") as bundle:
            assert np.array_equal(bundle.read("w", np.s_[:2]), WHOLE[:2])
            with pytest.raises(FormatError, match=f"tensor 'w', slice 2,2:0,3: {message}$") as caught:
                bundle["w"]
            assert caught.value.path == str(tmp_path / "v1")

    def test_list_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "v1").write_bytes(write_table(v1_rows(QUARTERS)[1:]))
        with pytest.raises(FormatError) as caught:
            tfbundle.open(tmp_path / "v1")
        reason = "Failed to find the saved tensor slices at the beginning of the checkpoint file"
        assert str(caught.value) == f"{tmp_path / 'v1'}: {reason}"
