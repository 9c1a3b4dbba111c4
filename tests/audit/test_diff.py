from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.corpus import Item, v1_items, v2_items
from tests.support.giant import write_giant, write_giant_partition
from tests.support.handmade import FLOAT32, HandmadeBundle, files_of, flip, floats, integers, strings
from tests.support.partitions import Piece, partitioned_bundle
from tests.support.processes import BARE_IMPORTS, peak_nbytes
from tests.support.requirements import corpus_root
from tests.support.wire import bytes_field, varint_field
from tfbundle import BundleNotFoundError, ChecksumError, DiffOptions, FormatError, diff, halve

LEFT = HandmadeBundle(
    [floats("kernel", np.arange(6).reshape(2, 3)), floats("bias", [1, 2]), integers("step", [7]), strings("s", [b"a"])]
)
IGNORE = DiffOptions(ignore_dtype=True)
QUICK = DiffOptions(quick=True)


@pytest.fixture
def left(tmp_path: Path) -> str:
    return LEFT.write(tmp_path / "left" / "m")


def test_the_same(left: str, tmp_path: Path) -> None:
    right = HandmadeBundle([*LEFT.tensors[::-1]]).write(tmp_path / "right" / "m")
    before = files_of(tmp_path)
    report = diff(left, right)
    assert report.equal
    assert (report.left, report.right, report.num_common, report.num_unread) == (left, right, 4, 0)
    assert files_of(tmp_path) == before


def test_every_kind(left: str, tmp_path: Path) -> None:
    tensors = [
        floats("kernel", np.arange(6).reshape(3, 2)),
        floats("bias", [1, 4]),
        floats("step", [7]),
        strings("s", [b"b"]),
        floats("new", []),
    ]
    right = HandmadeBundle(tensors).write(tmp_path / "right")
    report = diff(left, right)
    assert not report.equal
    assert (report.only_left, report.only_right) == ((), ("new",))
    assert [(each.name, each.left, each.right, each.comparable) for each in report.dtypes] == [
        ("step", "int64", "float32", True)
    ]
    assert [(each.name, each.left, each.right) for each in report.shapes] == [("kernel", (2, 3), (3, 2))]
    assert [(each.name, each.num_different, each.first) for each in report.values] == [
        ("bias", 1, (1,)),
        ("s", 1, (0,)),
    ]
    assert diff(right, left).only_left == ("new",)


def test_dtypes_that_cannot_be_compared(left: str, tmp_path: Path) -> None:
    right = HandmadeBundle([*LEFT.tensors[:3], floats("s", [1])]).write(tmp_path / "right")
    report = diff(left, right, options=IGNORE)
    assert [each.comparable for each in report.dtypes] == [False]
    assert not report.equal
    assert not report.values


def test_proof_of_a_halved_checkpoint(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    source = HandmadeBundle([floats("w", values), integers("step", [7])]).write(tmp_path / "m")
    tfbundle.halve(source, tmp_path / "half")
    half = tmp_path / "half"
    assert not diff(source, half, rtol=1e-3).equal
    assert diff(source, half, rtol=1e-3, options=IGNORE).equal
    exact = diff(source, half, options=IGNORE)
    with np.errstate(all="ignore"):
        rounded = values.astype(np.float16).astype(np.float64)
    assert exact.values[0].num_different == np.count_nonzero(rounded != values)
    assert exact.values[0].largest_absolute is not None
    assert exact.values[0].largest_absolute.value == np.abs(values - rounded).max()


def test_only(left: str, tmp_path: Path) -> None:
    right = HandmadeBundle([floats("bias", [9, 9]), *LEFT.tensors[2:], floats("new", [1])]).write(tmp_path / "right")
    assert diff(left, right, only=["s*"]).equal
    assert diff(left, right, only=["s*"]).num_common == 2
    assert diff(left, right, only=["new"]).only_right == ("new",)
    assert diff(left, right, only=["ker*"]).only_left == ("kernel",)
    with pytest.raises(ValueError, match="'nope' matches none of the 5 tensors"):
        diff(left, right, only=["nope"])


def object_based(prefix: Path, value: float) -> str:
    """Write a TF2 checkpoint of a variable that is called ``dense/kernel`` and ``m/a``, and of a layer norm's."""
    value_ending, graph = "/.ATTRIBUTES/VARIABLE_VALUE", "_CHECKPOINTABLE_OBJECT_GRAPH"
    root = bytes_field(1, bytes_field(1, varint_field(1, 1) + bytes_field(2, b"m")))
    model = bytes_field(1, bytes_field(1, varint_field(1, 2) + bytes_field(2, b"a")))
    attribute = b"VARIABLE_VALUE", b"dense/kernel", f"extra/0{value_ending}".encode()
    leaf = bytes_field(1, bytes_field(2, b"".join(bytes_field(at, text) for at, text in enumerate(attribute, 1))))
    tensors = [floats(f"extra/0{value_ending}", [value]), floats(f"ln_1/gamma{value_ending}", [1])]
    return HandmadeBundle([*tensors, strings(graph, [root + model + leaf])]).write(prefix)


def test_only_knows_what_other_verbs_know(tmp_path: Path) -> None:
    left, right = object_based(tmp_path / "left", 1), object_based(tmp_path / "right", 2)
    for pattern in ("extra/0", "m/a", "dense/kernel", "re:nse/k"):
        report = diff(left, right, only=[pattern])
        assert (report.num_common, report.values[0].name) == (1, "extra/0/.ATTRIBUTES/VARIABLE_VALUE")
    report = diff(left, right, only=["norm", "batchnorm"])
    assert (report.num_common, report.equal) == (1, True)
    os.unlink(f"{right}.data-00000-of-00001")
    assert diff(left, right, only=["norm"], options=QUICK).num_unread == 1


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0]])
def test_only_where_what_is_called_object_graph_is_none(tmp_path: Path, values: list[float]) -> None:
    prefix = HandmadeBundle([floats("_CHECKPOINTABLE_OBJECT_GRAPH", values), floats("w", [1])]).write(tmp_path / "m")
    assert diff(prefix, prefix, only=["w"]).num_common == 1
    with pytest.raises(FormatError, match=r"no object graph: float32 \[.\], expected one string"):
        halve(prefix, tmp_path / "half")


def test_only_leaves_the_rest_unread(left: str, tmp_path: Path) -> None:
    right = LEFT.write(tmp_path / "right")
    flip(f"{right}.data-00000-of-00001", 0)
    assert diff(left, right, only=["bias"]).equal
    with pytest.raises(ChecksumError, match="kernel"):
        diff(left, right)


def test_zeros_of_both_signs(tmp_path: Path) -> None:
    sides = [
        HandmadeBundle([floats("w", [0.0, value])]).write(tmp_path / str(at)) for at, value in enumerate((0.0, -0.0))
    ]
    report = diff(*sides)
    assert report.equal
    assert [(each.name, each.num_other_bits) for each in report.close] == [("w", 1)]
    assert [each.num_different for each in diff(*sides, options=DiffOptions(bits=True)).values] == [1]


@pytest.mark.parametrize("tolerance", [{"rtol": -1.0}, {"atol": float("nan")}, {"atol": float("inf")}])
def test_no_tolerance(left: str, tolerance: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a number that is finite and not negative"):
        diff(left, left, **tolerance)  # type: ignore[arg-type]


def test_bits_have_no_tolerance(left: str) -> None:
    with pytest.raises(ValueError, match="bits are the same or not"):
        diff(left, left, rtol=0.1, options=DiffOptions(bits=True))


def test_the_same_damage_on_both_sides(tmp_path: Path) -> None:
    sides = [LEFT.write(tmp_path / name) for name in "ab"]
    for side in sides:
        flip(f"{side}.data-00000-of-00001", 4)
    with pytest.raises(ChecksumError):
        diff(*sides)
    assert diff(*sides, options=QUICK).equal


def test_quick_reads_what_differs_only(left: str, tmp_path: Path) -> None:
    right = HandmadeBundle([LEFT.tensors[0], floats("bias", [1, 3]), *LEFT.tensors[2:]]).write(tmp_path / "right")
    report = diff(left, right, options=QUICK)
    assert (report.num_unread, [each.name for each in report.values]) == (3, ["bias"])
    same = LEFT.write(tmp_path / "same")
    os.remove(f"{same}.data-00000-of-00001")
    assert diff(left, same, options=QUICK).num_unread == 4
    with pytest.raises(BundleNotFoundError, match="shard 0 of 1"):
        diff(left, same)


ROWS = [Piece(((0, 2), (0, 3)), np.s_[0:2, 0:3]), Piece(((2, 2), (0, 3)), np.s_[2:4, 0:3])]
COLUMNS = [Piece(((0, 4), (0, 1)), np.s_[0:4, 0:1]), Piece(((0, 4), (1, 2)), np.s_[0:4, 1:3])]


def test_quick_with_slices(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    changed = values + np.eye(4, 3, dtype=np.float32)
    by_rows, by_columns, other = (
        partitioned_bundle("w", array, FLOAT32, pieces, [0, 1]).write(tmp_path / str(at))
        for at, (array, pieces) in enumerate([(values, ROWS), (values, COLUMNS), (changed, ROWS)])
    )
    assert diff(by_rows, by_rows, options=QUICK).num_unread == 1
    assert diff(by_rows, by_columns, options=QUICK).num_unread == 0
    assert diff(by_rows, by_columns, options=QUICK).equal
    assert diff(by_rows, other, options=QUICK).values[0].num_different == 3


def test_damaged_index(left: str, tmp_path: Path) -> None:
    right = LEFT.write(tmp_path / "right")
    flip(f"{right}.index", 10)
    with pytest.raises(FormatError, match=r"right\.index: block 0"):
        diff(left, right)
    with pytest.raises(BundleNotFoundError):
        diff(left, tmp_path / "missing")


def readable(items: list[Item]) -> list[Item]:
    return [item for item in items if not any(tensor.error for tensor in item.tensors.values())]


@pytest.mark.parametrize(
    "item", readable([*v2_items(), *v1_items()]) or [None], ids=lambda item: item.label if item else "no corpus"
)
def test_corpus_and_its_copy(item: Item | None, tmp_path: Path) -> None:
    """A copy that only ``keep`` tensors, in shards of its own, has the same values; a damaged one is told."""
    if item is None:
        corpus_root()
        return
    keep = tfbundle.Selection(keep=("*",)) if any(each.dtype == "float32" for each in item.tensors.values()) else None
    copy = tmp_path / "copy"
    tfbundle.halve(item.prefix, copy, selection=keep or tfbundle.Selection(), layout=tfbundle.Layout(shards=2))
    report = diff(item.prefix, copy, options=DiffOptions(bits=True))
    assert report.equal
    assert (report.dtypes, report.close) == ((), ())
    assert report.num_common == len(item.tensors)


MIB = 1 << 20
DIFF = """
import tfbundle
report = tfbundle.diff(*sys.argv[1:])
assert report.num_common == 1
assert report.values or report.equal
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak from /proc")
def test_peak_does_not_follow_the_size_of_a_tensor(tmp_path: Path) -> None:
    plain = write_giant(tmp_path / "plain", 256 * MIB)
    other = write_giant(tmp_path / "other", 256 * MIB)
    assert peak_nbytes(DIFF, plain, other) - peak_nbytes(BARE_IMPORTS) <= 24 * MIB


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak from /proc")
def test_peak_with_another_partition(tmp_path: Path) -> None:
    rows = write_giant_partition(tmp_path / "rows", (8192, 8192), 8, 0)
    columns = write_giant_partition(tmp_path / "columns", (8192, 8192), 8, 1)
    assert peak_nbytes(DIFF, rows, columns) - peak_nbytes(BARE_IMPORTS) <= 48 * MIB
