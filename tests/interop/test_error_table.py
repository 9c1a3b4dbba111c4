"""Damage of every kind, judged by TensorFlow and by this package: the same verdict, our class and our words.

``REFUSED`` has a row for each situation that both refuse, ``ACCEPTED`` for each leniency that both show,
``DIFFERENCES`` for each where this package decides otherwise on purpose, ``ABORTS`` for each that ends the process in
which TensorFlow's reader meets it.
"""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.bundles import entry_of, write_bundle, write_files
from tests.support.partitions import slice_key
from tests.support.requirements import tensorflow
from tests.support.tables import assemble_table, footer, frame, masked_crc, plain_block, varint, write_table
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle import (
    BundleError,
    BundleNotFoundError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)

FLOAT, INT32, STRING, VARIANT = 1, 3, 7, 21
HEADER = bytes.fromhex("08011a020801")
VALUES = np.arange(6, dtype="<f4").tobytes()
PLAIN = entry_of(FLOAT, shape_proto(2, 3), VALUES)
DATA = ".data-00000-of-00001"


def strings(values: list[bytes]) -> tuple[bytes, int]:
    sizes = b"".join(struct.pack("<I", len(value)) for value in values)
    contents = masked_crc(sizes) + b"".join(values)
    crc = int.from_bytes(masked_crc(sizes + contents), "little")
    return b"".join(varint(len(value)) for value in values) + contents, crc


TEXTS, TEXTS_CRC = strings([b"ab", b"c"])

Make = Callable[[str], None]


def bundle(
    entry: bytes = PLAIN,
    data: bytes = VALUES,
    header: bytes = b"",
    more: dict[bytes, bytes] | None = None,
) -> Make:
    """A bundle with the tensor ``t``, and more rows."""
    return lambda prefix: write_bundle(prefix, {b"t": entry, **(more or {})}, [data], header)


def index(contents: bytes) -> Make:
    return lambda prefix: write_files(prefix, contents, [VALUES])


GOOD_TABLE = write_table([(b"", HEADER), (b"t", PLAIN)])
ROWS = plain_block([(b"", HEADER), (b"t", PLAIN)])

BAD_HANDLES = (
    frame(ROWS)
    + frame(plain_block([(b"u", b"\xff")]))
    + footer(varint(len(frame(ROWS))) + varint(len(plain_block([(b"u", b"\xff")]))))
)


def flipped(contents: bytes, position: int) -> bytes:
    return contents[:position] + bytes([contents[position] ^ 1]) + contents[position + 1 :]


def text_entry(size: int, num: int = 2, crc: int = TEXTS_CRC) -> bytes:
    return entry_proto(STRING, shape_proto(num), size, crc)


def partition(*extents: tuple[int, int], rows: dict[bytes, bytes] | None = None) -> Make:
    """A tensor of 6 floats with slices, and an entry for each of them unless they are given."""
    slices = b"".join(
        bytes_field(7, bytes_field(1, (varint_field(1, start) if start else b"") + varint_field(2, length)))
        for start, length in extents
    )
    found = {
        slice_key(b"t", (extent,)): entry_of(
            FLOAT, shape_proto(extent[1]), VALUES[4 * extent[0] : 4 * sum(extent)], 4 * extent[0]
        )
        for extent in extents
    }
    return bundle(entry_proto(FLOAT, shape_proto(6), 0) + slices, more=found if rows is None else rows)


def without(suffix: str, make: Make | None = None) -> Make:
    def act(prefix: str) -> None:
        (make or bundle())(prefix)
        Path(prefix + suffix).unlink()

    return act


@dataclass(frozen=True)
class Row:
    """One situation.

    Attributes:
        situation: in words.
        make: writes the damaged bundle.
        theirs: TensorFlow's class of error, as the op RestoreV2 raises it.
        ours: class of our error.
        phrase: what our message has in common with TensorFlow's, or says instead.
        dtype: of the tensor, as the op must be told.
        tensor: which one is read.
    """

    situation: str
    make: Make
    theirs: str
    ours: type[BundleError]
    phrase: str
    dtype: int = FLOAT
    tensor: str = "t"


REFUSED = (
    Row("no index", without(".index"), "NotFoundError", BundleNotFoundError, "Failed to find any matching files"),
    Row(
        "index of 47 bytes",
        index(GOOD_TABLE[-47:]),
        "DataLossError",
        TruncatedError,
        "file is too short to be an sstable",
    ),
    Row("empty index", index(b""), "DataLossError", TruncatedError, "file is too short to be an sstable"),
    Row(
        "wrong magic",
        index(flipped(GOOD_TABLE, len(GOOD_TABLE) - 1)),
        "DataLossError",
        FormatError,
        r"not an sstable \(bad magic number\)",
    ),
    Row("bytes after the footer", index(GOOD_TABLE + b"\0"), "DataLossError", FormatError, "bad magic number"),
    Row(
        "footer without handles",
        index(ROWS + footer(b"", b"\xff" * 40)),
        "DataLossError",
        FormatError,
        "bad block handle",
    ),
    Row(
        "index handle beyond the file",
        index(GOOD_TABLE[:-48] + footer(varint(1 << 20) + varint(9))),
        "OutOfRangeError",
        TruncatedError,
        "Read less bytes than requested",
    ),
    Row("block checksum", index(flipped(GOOD_TABLE, 5)), "DataLossError", ChecksumError, "block checksum mismatch"),
    Row("block type", index(assemble_table([(b"u", ROWS)], 7)), "DataLossError", FormatError, "bad block type"),
    Row(
        "bad Snappy",
        index(assemble_table([(b"u", b"\x05\x00a")], 1)),
        "DataLossError",
        FormatError,
        "corrupted compressed block contents",
    ),
    Row("no rows", index(write_table([])), "InternalError", FormatError, "failed to seek to header entry"),
    Row("header that does not parse", bundle(header=b"\xff\xff"), "DataLossError", FormatError, "not parseable"),
    Row(
        "producer below 0",
        bundle(header=varint_field(1, 1) + bytes_field(3, varint_field(1, -1))),
        "InvalidArgumentError",
        FormatError,
        "Checkpoint producer version -1 below min producer 0",
    ),
    Row(
        "newer consumers only",
        bundle(header=varint_field(1, 1) + bytes_field(3, varint_field(1, 1) + varint_field(2, 2))),
        "InvalidArgumentError",
        FormatError,
        "Checkpoint min consumer version 2 above current version 1",
    ),
    Row(
        "this consumer is bad",
        bundle(header=varint_field(1, 1) + bytes_field(3, varint_field(1, 1) + bytes_field(3, b"\x01"))),
        "InvalidArgumentError",
        FormatError,
        "Checkpoint disallows consumer version 1",
    ),
    Row("no such key", bundle(), "NotFoundError", TensorNotFoundError, "Key u not found in checkpoint", tensor="u"),
    Row("entry that does not parse", bundle(b"\xff\xff"), "DataLossError", FormatError, "not parseable"),
    Row(
        "negative dimension",
        bundle(entry_proto(FLOAT, shape_proto(-1), 24)),
        "DataLossError",
        FormatError,
        "Invalid tensor shape",
    ),
    Row(
        "shape that overflows",
        bundle(entry_proto(FLOAT, shape_proto(1 << 40, 1 << 40, 0), 0)),
        "DataLossError",
        FormatError,
        "Invalid tensor shape",
    ),
    Row(
        "size that does not follow",
        bundle(entry_proto(FLOAT, shape_proto(2, 3), 12)),
        "DataLossError",
        FormatError,
        "Invalid size in bundle entry: stored size 12; expected size 24",
    ),
    Row(
        "fewer bytes than strings",
        bundle(text_entry(1), TEXTS),
        "DataLossError",
        FormatError,
        "Invalid size in bundle entry: stored size 1; expected size is at least 2",
        STRING,
    ),
    Row("missing shard", without(DATA), "NotFoundError", BundleNotFoundError, "No such file or directory"),
    Row(
        "shard beyond their number",
        bundle(entry_of(FLOAT, shape_proto(2, 3), VALUES, shard_id=1)),
        "NotFoundError",
        BundleNotFoundError,
        "No such file or directory: shard 1 of 1",
    ),
    Row(
        "negative offset",
        bundle(entry_proto(FLOAT, shape_proto(2, 3), 24, 1, -8)),
        "InvalidArgumentError",
        FormatError,
        "Seeking to a negative position: -8",
    ),
    Row("short data", bundle(data=VALUES[:-1]), "OutOfRangeError", TruncatedError, "Read less bytes than requested"),
    Row(
        "lengths past the end of the entry",
        bundle(text_entry(2), b"\x82" * 2 + TEXTS),
        "DataLossError",
        FormatError,
        "String lengths longer than expected",
        STRING,
    ),
    Row(
        "length of too many bytes",
        bundle(text_entry(20), b"\xff" * 12 + TEXTS),
        "OutOfRangeError",
        FormatError,
        "Parsed past limit",
        STRING,
    ),
    Row(
        "checksum of the lengths",
        bundle(text_entry(len(TEXTS)), flipped(TEXTS, 3)),
        "DataLossError",
        ChecksumError,
        "The length checksum does not match",
        STRING,
    ),
    Row(
        "checksum of the strings",
        bundle(text_entry(len(TEXTS)), flipped(TEXTS, 7)),
        "DataLossError",
        ChecksumError,
        "Checksum does not match",
        STRING,
    ),
    Row(
        "checksum of the numbers",
        bundle(data=flipped(VALUES, 9)),
        "DataLossError",
        ChecksumError,
        "Checksum does not match",
    ),
    Row(
        "checksum of a tensor without bytes",
        bundle(entry_proto(FLOAT, shape_proto(0), 0, 5)),
        "DataLossError",
        ChecksumError,
        "Checksum does not match",
    ),
    Row(
        "checksum of 0 counts as any other",
        bundle(entry_proto(FLOAT, shape_proto(2, 3), 24)),
        "DataLossError",
        ChecksumError,
        "Checksum does not match",
    ),
    Row(
        "more shards than files",
        bundle(header=varint_field(1, 2) + bytes_field(3, varint_field(1, 1))),
        "NotFoundError",
        BundleNotFoundError,
        "m.data-00000-of-00002: No such file or directory",
    ),
    Row(
        "no shards",
        bundle(header=bytes_field(3, varint_field(1, 1))),
        "NotFoundError",
        BundleNotFoundError,
        "m.data-00000-of-00000: No such file or directory",
    ),
    Row(
        "index block without handles",
        index(BAD_HANDLES),
        "DataLossError",
        FormatError,
        "bad block handle",
    ),
    Row("overlapping slices", partition((0, 4), (3, 3)), "InternalError", FormatError, "Overlapping slices"),
    Row(
        "gap between slices",
        partition((0, 2), (4, 2)),
        "InvalidArgumentError",
        FormatError,
        "Does not have sufficient slices for partitioned tensor",
    ),
    Row(
        "slice beyond the tensor",
        partition((0, 4), (4, 3)),
        "InternalError",
        FormatError,
        "Extent in dimension 0 out of bounds",
    ),
    Row("slice without an entry", partition((0, 6), rows={}), "NotFoundError", FormatError, "not found in checkpoint"),
)


@dataclass(frozen=True)
class Leniency:
    """A situation that both accept, and the values that both read."""

    situation: str
    make: Make
    value: Any
    dtype: int = FLOAT


FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)
EMPTY_CRC = 0xA282EAD8  # masked
METAINDEX = bytes.fromhex("0000000001000000 00c0f2a1b0")
SNAPPY_LITERAL = varint(len(ROWS)) + bytes([61 << 2]) + struct.pack("<H", len(ROWS) - 1) + ROWS
UNKNOWN_RANK = varint_field(3, 1)

ACCEPTED = (
    Leniency("nothing wrong", bundle(), FLOATS),
    Leniency("string size too large", bundle(text_entry(len(TEXTS) + 5), TEXTS + bytes(9)), [b"ab", b"c"], STRING),
    Leniency("string size too small", bundle(text_entry(3), TEXTS), [b"ab", b"c"], STRING),
    Leniency("no strings, no bytes", bundle(entry_proto(STRING, shape_proto(0), 0, EMPTY_CRC), b""), [], STRING),
    Leniency("no version", bundle(header=varint_field(1, 1)), FLOATS),
    Leniency("producer of the future", bundle(header=varint_field(1, 1) + bytes_field(3, varint_field(1, 99))), FLOATS),
    Leniency("unknown fields", bundle(PLAIN + varint_field(99, 5), header=HEADER + varint_field(88, 1)), FLOATS),
    Leniency("bytes after the last tensor", bundle(data=VALUES + b"more"), FLOATS),
    Leniency("damaged metaindex block", index(GOOD_TABLE.replace(METAINDEX, bytes(13))), FLOATS),
    Leniency("Snappy blocks", index(assemble_table([(b"u", SNAPPY_LITERAL)], 1)), FLOATS),
    Leniency("unknown rank", bundle(entry_of(FLOAT, UNKNOWN_RANK, VALUES[:4])), np.float32(0)),
    Leniency("unknown rank, dimensions", bundle(entry_of(FLOAT, shape_proto(2, 3) + UNKNOWN_RANK, VALUES)), FLOATS),
    Leniency("no elements, far away", bundle(entry_proto(FLOAT, shape_proto(0), 0, EMPTY_CRC, 1 << 40)), np.zeros(0)),
    Leniency("slices", partition((0, 2), (2, 4)), np.arange(6)),
)


DIFFERENCES: dict[str, tuple[Make, type[BundleError], str, int]] = {
    "a key twice: TensorFlow takes the first": (
        index(assemble_table([(b"u", plain_block([(b"", HEADER), (b"t", PLAIN), (b"t", PLAIN)]))])),
        FormatError,
        "does not sort after",
        FLOAT,
    ),
    "no header: TensorFlow takes the first row for one": (
        index(assemble_table([(b"u", plain_block([(b"s", HEADER), (b"t", PLAIN)]))])),
        FormatError,
        "failed to seek to header entry",
        FLOAT,
    ),
    "unknown endianness: TensorFlow takes it for the machine's own": (
        bundle(header=varint_field(1, 1) + varint_field(2, 7) + bytes_field(3, varint_field(1, 1))),
        FormatError,
        "unknown endianness 7",
        FLOAT,
    ),
    "entry of a slice that is larger than the slice: TensorFlow reads wrong numbers": (
        partition(
            (0, 2),
            (2, 4),
            rows={
                slice_key(b"t", ((0, 2),)): entry_of(FLOAT, shape_proto(3), VALUES[:12]),
                slice_key(b"t", ((2, 4),)): entry_of(FLOAT, shape_proto(4), VALUES[8:], 8),
            },
        ),
        FormatError,
        "expected float32",
        FLOAT,
    ),
}

ABORTS = {
    "entry that does not parse": (bundle(b"\xff\xff"), "not parseable"),
    "negative dimension": (bundle(entry_proto(FLOAT, shape_proto(-1), 24)), "Invalid tensor shape"),
    "no dtype": (bundle(entry_of(0, shape_proto(2, 3), VALUES)), "unknown dtype 0"),
    "unknown dtype": (bundle(entry_of(99, shape_proto(2, 3), VALUES)), "unknown dtype 99"),
    "reference dtype": (bundle(entry_of(101, shape_proto(2, 3), VALUES)), "reference dtype 101"),
}
"""What TensorFlow's CheckpointReader does not survive, and our words."""

READ_IN_CHILDREN = """
import json, os, resource, sys
from tensorflow.python.training import py_checkpoint_reader
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
statuses = []
for prefix in sys.argv[1:]:
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            py_checkpoint_reader.NewCheckpointReader(prefix).get_tensor("t")
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    statuses.append(os.waitstatus_to_exitcode(status))
print(json.dumps(statuses))
"""


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def restore(tf: Any, prefix: str, name: str, dtype: int) -> Any:
    (found,) = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[tf.dtypes.as_dtype(dtype)]
    )
    return found.numpy()


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.situation)
def test_both_refuse(tf: Any, tmp_path: Path, row: Row) -> None:
    prefix = str(tmp_path / "m")
    row.make(prefix)
    with pytest.raises(getattr(tf.errors, row.theirs)):
        restore(tf, prefix, row.tensor, row.dtype)
    with pytest.raises(row.ours, match=row.phrase) as caught:
        tfbundle.open(prefix)[row.tensor]
    assert type(caught.value) is row.ours
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.situation)
def test_both_accept(tf: Any, tmp_path: Path, row: Leniency) -> None:
    prefix = str(tmp_path / "m")
    row.make(prefix)
    theirs, ours = restore(tf, prefix, "t", row.dtype), tfbundle.open(prefix)["t"]
    assert np.array_equal(theirs, np.asarray(row.value))
    assert np.array_equal(ours, np.asarray(row.value))
    assert ours.shape == theirs.shape


@pytest.mark.parametrize("situation", DIFFERENCES)
def test_we_refuse_and_tensorflow_does_not(tf: Any, tmp_path: Path, situation: str) -> None:
    make, ours, phrase, dtype = DIFFERENCES[situation]
    prefix = str(tmp_path / "m")
    make(prefix)
    restore(tf, prefix, "t", dtype)
    with pytest.raises(ours, match=phrase):
        tfbundle.open(prefix)["t"]


def variant_payload(tf: Any, prefix: str) -> bytes:
    handle = tf.raw_ops.TensorListFromTensor(tensor=tf.constant([1.0, 2.0]), element_shape=tf.constant([], tf.int32))
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["t"], shape_and_slices=[""], tensors=[handle])
    return Path(prefix + DATA).read_bytes()


def test_checksum_of_a_variant(tf: Any, tmp_path: Path) -> None:
    prefix = str(tmp_path / "m")
    payload = variant_payload(tf, prefix)
    assert tfbundle.open(prefix).payload("t") == payload
    Path(prefix + DATA).write_bytes(flipped(payload, len(payload) - 1))
    with pytest.raises(tf.errors.DataLossError, match="The checksum after Variant 0 does not match"):
        restore(tf, prefix, "t", VARIANT)
    with pytest.raises(ChecksumError, match="The checksum after Variant 0 does not match"):
        tfbundle.open(prefix).payload("t")


def test_variants_are_bytes_here(tf: Any, tmp_path: Path) -> None:
    """TensorFlow decodes variants, and refuses types it does not know; here their bytes pass, checked."""
    prefix = str(tmp_path / "m")
    variant_payload(tf, prefix)
    with pytest.raises(tf.errors.InternalError, match="not convertible to numpy dtype"):
        tf.train.load_checkpoint(prefix).get_tensor("t")
    with pytest.raises(UnsupportedError, match="not an array"):
        tfbundle.open(prefix)["t"]
    for contents in (b"\xff\xff", bytes_field(1, b"no::such::type")):
        sized = crc = struct.pack("<Q", len(contents)) + contents
        stored = masked_crc(sized)
        crc = masked_crc(sized + stored)
        payload = varint(len(contents)) + contents + stored
        entry = entry_proto(VARIANT, b"", len(payload), int.from_bytes(crc, "little"))
        write_bundle(prefix, {b"t": entry}, [payload])
        with pytest.raises((tf.errors.DataLossError, tf.errors.InternalError)):
            restore(tf, prefix, "t", VARIANT)
        assert tfbundle.open(prefix).payload("t") == payload


def test_no_dtype_is_asked_for_here(tf: Any, tmp_path: Path) -> None:
    """TensorFlow compares with the dtype that the graph wants; here the caller sees what there is."""
    prefix = str(tmp_path / "m")
    bundle()(prefix)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected dtype half does not equal original dtype float"):
        restore(tf, prefix, "t", 19)
    assert tfbundle.open(prefix).entries["t"].dtype == "float32"


def test_frames_are_what_tensorflow_reads(tf: Any, tmp_path: Path) -> None:
    """The damage above is the only thing wrong with these tables."""
    prefix = str(tmp_path / "m")
    index(assemble_table([(b"u", ROWS)]))(prefix)
    assert frame(ROWS) in Path(prefix + ".index").read_bytes()
    assert np.array_equal(restore(tf, prefix, "t", FLOAT), FLOATS)


def test_what_ends_tensorflow_is_an_error_here(tf: Any, tmp_path: Path) -> None:
    makes = [*(make for make, _ in ABORTS.values()), bundle(), bundle(data=VALUES[:-1])]
    prefixes = [str(tmp_path / str(number)) for number in range(len(makes))]
    for prefix, make in zip(prefixes, makes, strict=True):
        make(prefix)
    command = [sys.executable, "-c", READ_IN_CHILDREN, *prefixes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [*(-signal.SIGABRT for _ in ABORTS), 0, 1]
    for prefix, (_, phrase) in zip(prefixes, ABORTS.values(), strict=False):
        with pytest.raises(FormatError, match=phrase):
            tfbundle.open(prefix)["t"]
        report = tfbundle.verify(prefix)
        assert [(damage.tensor, damage.kind) for damage in report.damages] == [("t", "FormatError")]
        with pytest.raises(FormatError, match=phrase):
            tfbundle.halve(prefix, tmp_path / "h")


def test_keys_out_of_order(tf: Any, tmp_path: Path) -> None:
    """TensorFlow does not find such a key, and does not know that something is wrong; here the index is damaged."""
    prefix = str(tmp_path / "m")
    rows = [(b"", HEADER), (b"u", PLAIN), (b"t", PLAIN)]
    index(assemble_table([(b"u", plain_block(rows))]))(prefix)
    with pytest.raises(tf.errors.NotFoundError, match="Key t not found"):
        restore(tf, prefix, "t", FLOAT)
    assert np.array_equal(restore(tf, prefix, "u", FLOAT), FLOATS)
    with pytest.raises(FormatError, match="does not sort after"):
        tfbundle.open(prefix)


def test_payloads_that_overlap(tf: Any, tmp_path: Path) -> None:
    """Both read them; to copy them would let a small file ask for any amount of output, so ``halve`` refuses."""
    prefix = str(tmp_path / "m")
    shared = entry_of(FLOAT, shape_proto(3), VALUES[12:], 12)
    bundle(more={b"u": shared})(prefix)
    for name, expected in (("t", FLOATS), ("u", FLOATS[1])):
        assert np.array_equal(restore(tf, prefix, name, FLOAT), expected)
        assert np.array_equal(tfbundle.open(prefix)[name], expected)
    assert not tfbundle.verify(prefix).ok
    with pytest.raises(FormatError, match="payload starts at 12, within that of tensor 't'"):
        tfbundle.halve(prefix, tmp_path / "h")


def test_size_of_strings_that_is_not_theirs(tmp_path: Path) -> None:
    """Both read such strings; ``halve`` copies the bytes of an entry as they are, so there they must fit."""
    prefix = str(tmp_path / "m")
    bundle(text_entry(len(TEXTS) + 5), TEXTS + bytes(9))(prefix)
    assert tfbundle.open(prefix)["t"].tolist() == [b"ab", b"c"]
    assert not tfbundle.verify(prefix).ok
    with pytest.raises(FormatError, match="bytes after its last string"):
        tfbundle.halve(prefix, tmp_path / "h")
