"""The rules by which hostile files are read, one or more tests for each, over all verbs that read.

R1 to R7 and R9; those about writing are tested with the storage.
"""

from __future__ import annotations

import ast
import os
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import tfbundle
from tests.corrupt import entries, tables
from tests.corrupt.cases import (
    BOTH,
    FLOAT,
    HEADER,
    HUGE,
    SHARD,
    STRING,
    T_ENTRY,
    T_VALUES,
    V_ENTRY,
    Case,
    Sparse,
    shard_suffix,
    with_block,
    with_header,
    with_rows,
    write_contents,
)
from tests.corrupt.verbs import OUTPUTS, command, prepare, verbs
from tests.support.bundles import entry_of
from tests.support.giant import write_giant
from tests.support.tables import footer, handle, varint
from tests.support.wire import entry_proto, shape_proto, varint_field
from tfbundle.bundle.opening import open_bundle
from tfbundle.errors import BundleError, ChecksumError, FormatError, TruncatedError, UnsupportedError
from tfbundle.format.dtypes import MAX_ARRAY_RANK
from tfbundle.format.entries import MAX_NUM_SHARDS
from tfbundle.format.extents import MAX_OVERLAP
from tfbundle.format.index import MAX_BLOCK_NBYTES
from tfbundle.sstable.block import MAX_KEY_EXPANSION
from tfbundle.sstable.reader import open_table
from tfbundle.sstable.snappy import decompress_snappy
from tfbundle.streaming.run import RunOptions

PACKAGE = Path(tfbundle.__file__).parent
READING_ALL = [
    "stats",
    "halve",
    "halve renamed",
    "cast",
    "merge",
    "merge --link",
    "average",
    "diff",
    "salvage",
    "set",
]
"""Verbs that read every payload, but for ``verify``, which goes on where these stop."""


def put(directory: Path, files: object) -> str:
    """Write a bundle, and what verbs need beside it; return its prefix."""
    prefix = str(directory / "model" / "m")
    for suffix, contents in dict(files).items():  # type: ignore[call-overload]
        write_contents(prefix + suffix, contents)
    prepare(str(directory))
    return prefix


def run(verb: str, prefix: str, directory: Path) -> dict[str, object]:
    """Run a verb in this process, its errors raised."""
    return command(verbs()[verb](prefix, str(directory)))


class TestR01:
    """Lengths are compared with what is there before anything is allocated."""

    @pytest.mark.parametrize("label", HUGE)
    @pytest.mark.parametrize(
        "family", [tables.footers, tables.handles, tables.lengths, entries.entries, entries.strings]
    )
    def test_r01_no_length_makes_us_allocate(
        self, tmp_path: Path, family: Callable[[], Iterator[Case]], label: str
    ) -> None:
        chosen = [case for case in family() if label in case.name and "all there" not in case.name]
        assert chosen
        for number, case in enumerate(chosen):
            path = case.write(str(tmp_path / str(number) / "m"))
            tracemalloc.start()
            try:
                with open_bundle(path) as bundle:
                    bundle["t"]
            except BundleError:
                pass
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 4_000_000, case

    def test_r01_blocks_end_before_the_footer(self) -> None:
        contents = bytes(100)
        with pytest.raises(FormatError):
            open_table(lambda offset, nbytes: contents[offset : offset + nbytes], len(contents))

    def test_r01_a_row_shares_no_more_than_there_is(self, tmp_path: Path) -> None:
        prefix = put(tmp_path, with_block(b"\1\0\0" + bytes(4) + b"\1\0\0\0"))
        with pytest.raises(FormatError, match="bad entry in block"):
            open_bundle(prefix)


class TestR02:
    """Limits have names, and errors print them."""

    def test_r02_dimensions(self, tmp_path: Path) -> None:
        prefix = put(tmp_path, with_rows({b"t": entry_of(FLOAT, shape_proto(*[1] * 255), T_VALUES[:4])}))
        with pytest.raises(FormatError, match="255 dimensions, at most 254"):
            open_bundle(prefix)["t"]

    def test_r02_dimensions_of_an_array(self, tmp_path: Path) -> None:
        rank = MAX_ARRAY_RANK + 1
        prefix = put(tmp_path, with_rows({b"t": entry_of(FLOAT, shape_proto(*[1] * rank), T_VALUES[4:8], 4)}))
        with open_bundle(prefix) as bundle:
            for read in (partial(bundle.read, "t"), partial(bundle.read, "t", 0)):
                with pytest.raises(UnsupportedError, match=f"{rank} dimensions, an array at most {MAX_ARRAY_RANK}"):
                    read()
            assert bundle.payload("t") == T_VALUES[4:8]
        assert tfbundle.verify(prefix).ok

    def test_r02_shards(self, tmp_path: Path) -> None:
        prefix = put(tmp_path, with_header(varint_field(1, MAX_NUM_SHARDS + 1) + HEADER[2:]))
        with pytest.raises(FormatError, match="100001 shards, expected 0 to 100000"):
            open_bundle(prefix)

    def test_r02_snappy(self) -> None:
        with pytest.raises(FormatError, match="4 bytes cannot decompress to 153"):
            decompress_snappy(varint(22 * 4 + 64 + 1) + b"\0a")
        tracemalloc.start()
        with pytest.raises(FormatError, match="cannot decompress to 4294967295"):
            decompress_snappy(varint((1 << 32) - 1) + bytes(1000))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()

    @pytest.mark.parametrize("nbytes", [11, 40])
    def test_r02_varints(self, tmp_path: Path, nbytes: int) -> None:
        prefix = put(tmp_path, with_rows({b"t": T_ENTRY + b"\x20" + b"\x80" * (nbytes - 1) + b"\0"}))
        with pytest.raises(FormatError):
            open_bundle(prefix)["t"]
        payload = b"\x80" * (nbytes - 1) + b"\0" + bytes(30)
        prefix = put(tmp_path, with_rows({b"t": entry_proto(STRING, shape_proto(1), 40)}, payload))
        with pytest.raises(FormatError, match="Parsed past limit: a varint of more than 10 bytes"):
            open_bundle(prefix)["t"]

    def test_r02_blocks(self, tmp_path: Path) -> None:
        nbytes = MAX_BLOCK_NBYTES + 1
        end = footer(handle(0, nbytes))
        prefix = put(tmp_path, {".index": Sparse(nbytes + 53, {nbytes + 5: end})})
        with pytest.raises(FormatError, match=f"block of {nbytes} bytes at 0, at most {MAX_BLOCK_NBYTES} are allowed"):
            open_bundle(prefix)

    def test_r02_keys(self, tmp_path: Path) -> None:
        prefix = put(tmp_path, tables.shared_keys(60_000, 4_000))
        with pytest.raises(FormatError, match=f"keys share more than {MAX_KEY_EXPANSION} times"):
            open_bundle(prefix)

    def test_r02_the_index_is_read_block_by_block(self, tmp_path: Path) -> None:
        rows = {b"k%06d" % number: V_ENTRY for number in range(60_000)}
        prefix = put(tmp_path, with_rows(rows))
        nbytes = os.path.getsize(f"{prefix}.index")
        reads: list[int] = []
        contents = Path(f"{prefix}.index").read_bytes()

        def read_at(offset: int, count: int) -> bytes:
            reads.append(count)
            return contents[offset : offset + count]

        for _ in open_table(read_at, nbytes).iter_blocks():
            pass
        assert sum(reads) <= nbytes
        assert max(reads) < nbytes / 3


class TestR03:
    """An entry is checked without touching data: there are no data files here."""

    FAULTS: ClassVar = {
        "dtype": (entry_proto(99, shape_proto(6), 24), "unknown dtype 99"),
        "reference": (entry_proto(101, shape_proto(6), 24), "reference dtype 101"),
        "dimension": (entry_proto(FLOAT, shape_proto(-1), 24), "negative dimension"),
        "size": (entry_proto(FLOAT, shape_proto(6), 20), "stored size 20; expected size 24"),
        "offset": (entry_proto(FLOAT, shape_proto(6), 24, 0, -1), "negative position"),
        "shard": (entry_proto(FLOAT, shape_proto(6), 24, 0, 0, -1), "negative shard"),
    }

    @pytest.mark.parametrize("fault", FAULTS)
    def test_r03_entry(self, tmp_path: Path, fault: str) -> None:
        entry, phrase = self.FAULTS[fault]
        prefix = put(tmp_path, with_rows({b"t": entry, b"v": V_ENTRY}))
        os.unlink(prefix + shard_suffix())
        with open_bundle(prefix) as bundle:
            assert bundle.entries["v"].dtype == "float32"
            with pytest.raises(FormatError, match=f"m.index: tensor 't': .*{phrase}"):
                bundle.entries["t"]

    def test_r03_payload_outside_its_shard(self, tmp_path: Path) -> None:
        prefix = put(tmp_path, with_rows({b"t": T_ENTRY}, T_VALUES[:-1]))
        for verb in READING_ALL:
            with pytest.raises(BundleError):
                run(verb, prefix, tmp_path)
        assert [damage.kind for damage in tfbundle.verify(prefix).damages] == ["TruncatedError"]

    @pytest.mark.parametrize("name", ["overlap", "gap", "out of bounds", "no entry", "entry larger than the slice"])
    def test_r03_slices(self, tmp_path: Path, name: str) -> None:
        case = next(case for case in entries.slices() if case.name == name)
        prefix = case.write(str(tmp_path / "model" / "m"))
        with pytest.raises(FormatError, match="tensor 't'"):
            open_bundle(prefix)["t"]


class TestR04:
    """What entries ask for is no more than there is."""

    @pytest.mark.parametrize("verb", READING_ALL)
    def test_r04_bomb(self, tmp_path: Path, verb: str) -> None:
        prefix = put(tmp_path, tables.overlapping(2 * MAX_OVERLAP, 1 << 16))
        with pytest.raises(FormatError, match=r"share bytes|within that of tensor"):
            run(verb, prefix, tmp_path)

    def test_r04_bomb_for_verify(self, tmp_path: Path) -> None:
        prefix = put(tmp_path, tables.overlapping(2 * MAX_OVERLAP, 1 << 16))
        with pytest.raises(FormatError, match="payloads of 1048584 bytes in data files of 65536: many share bytes"):
            tfbundle.verify(prefix)

    def test_r04_overlap_is_damage_to_verify(self, tmp_path: Path) -> None:
        prefix = put(tmp_path, tables.overlapping(2, 1 << 16))
        assert [damage.tensor for damage in tfbundle.verify(prefix).damages] == ["k00001", "v"]

    def test_r04_holes_and_trailing_bytes_are_none(self, tmp_path: Path) -> None:
        entry = entry_of(FLOAT, shape_proto(2, 3), T_VALUES, 1000)
        prefix = put(tmp_path, with_rows({b"t": entry}, bytes(1000) + T_VALUES + bytes(1000)))
        assert tfbundle.verify(prefix).ok


class TestR05:
    """Keys ascend, and the header is first."""

    @pytest.mark.parametrize("verb", ["ls", "show", "verify", *READING_ALL])
    @pytest.mark.parametrize("name", ["twice", "unsorted", "no header", "header last", "header twice"])
    def test_r05_order(self, tmp_path: Path, verb: str, name: str) -> None:
        case = next(case for case in tables.key_orders() if case.name == name)
        prefix = put(tmp_path, case.make())
        with pytest.raises(FormatError, match=r"does not sort after|failed to seek to header entry"):
            run(verb, prefix, tmp_path)

    def test_r05_order_in_v1(self, tmp_path: Path) -> None:
        from tests.corrupt import beside
        from tests.support.tables import assemble_table, plain_block

        rows = [(b"", beside.v1_meta(beside.V1_T)), *[(beside.T_KEY, beside.V1_T_ROW)] * 2]
        prefix = put(tmp_path, {"": assemble_table([(b"\xff", plain_block(rows))])})
        with pytest.raises(FormatError, match="does not sort after"):
            open_bundle(prefix)["t"]


class TestR06:
    """Stricter than TensorFlow in what is listed, and in nothing else."""

    def test_r06_the_list_is_in_the_description_of_the_format(self) -> None:
        text = (PACKAGE.parent / "proto" / "FORMAT.md").read_text("utf-8")
        strict = text[text.index("stricter than TensorFlow, on purpose") :]
        for words in ("a key twice", "do not ascend", "no header", "endianness", "shape is not that", "regular file"):
            assert words in strict
        for words in ("blocks that together", "share more than", "larger than 64 MiB", "that no cuts part"):
            assert words in strict

    @pytest.mark.parametrize("family", [entries.headers, entries.entries, tables.footers, tables.restarts])
    def test_r06_what_is_odd_and_harmless_is_read(self, tmp_path: Path, family: Callable[[], Iterator[Case]]) -> None:
        chosen = [case for case in family() if set(case.values) == set(BOTH) and len(case.tensors) == 2]
        assert chosen
        for number, case in enumerate(chosen):
            with open_bundle(case.write(str(tmp_path / str(number) / "m"))) as bundle:
                assert bundle["t"].tobytes() == case.values["t"], case


class TestR07:
    """Every byte that is copied or converted was verified."""

    @pytest.mark.parametrize("verb", READING_ALL)
    @pytest.mark.parametrize("position", [0, 12, 23])
    def test_r07_flipped_bit(self, tmp_path: Path, verb: str, position: int) -> None:
        shard = bytearray(SHARD)
        shard[position] ^= 4
        prefix = put(tmp_path, with_rows({b"t": T_ENTRY, b"v": V_ENTRY}, bytes(shard)))
        if verb == "salvage":
            assert run(verb, prefix, tmp_path)["status"] == 1
            assert list(tfbundle.load(tmp_path / OUTPUTS[verb])) == ["v"]
            return
        with pytest.raises(ChecksumError, match="tensor 't'"):
            run(verb, prefix, tmp_path)

    def test_r07_no_option_says_otherwise(self) -> None:
        from tfbundle.cli.parser import VERBS, build_parser

        actions = build_parser()._subparsers._group_actions  # type: ignore[union-attr]
        choices = dict(actions[0].choices or {})
        assert set(choices) == set(VERBS)
        options = {
            option for parser in choices.values() for action in parser._actions for option in action.option_strings
        }
        assert "--jobs" in options
        assert not [option for option in options if any(word in option for word in ("check", "crc", "verif", "trust"))]


class _Cutter:
    """Progress that cuts a file short as soon as something was read of it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def start(self, nbytes: int) -> None: ...

    def advance(self, nbytes: int) -> None:
        os.truncate(self._path, 1 << 20)

    def finish(self) -> None: ...


class TestR09:
    """Sources are read, never mapped: one that gets shorter is an error, and not the end of the process."""

    def test_r09_nothing_is_mapped(self) -> None:
        sources = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
        for path, text in sources.items():
            names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
            names |= {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
            names |= {
                alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names
            }
            assert not names & {"mmap", "memmap", "mmap_mode", "fromfile"}, path
        assert any("preadv" in text for text in sources.values())

    def test_r09_cut_between_opening_and_reading(self, tmp_path: Path) -> None:
        prefix = write_giant(tmp_path / "m", 4 << 20)
        with open_bundle(prefix) as bundle:
            assert not bundle.read("giant", np.s_[:10]).any()
            os.truncate(prefix + shard_suffix(), 1 << 20)
            for read in (bundle.read, bundle.check_payload, bundle.payload):
                with pytest.raises(TruncatedError, match="Read less bytes than requested"):
                    read("giant")

    @pytest.mark.parametrize("verb", ["halve", "average", "merge"])
    def test_r09_cut_while_it_is_read(self, tmp_path: Path, verb: str) -> None:
        prefix = write_giant(tmp_path / "m", 96 << 20)
        write_giant(tmp_path / "other", 96 << 20)
        options = RunOptions(jobs=1, progress=_Cutter(prefix + shard_suffix()))
        with pytest.raises(FormatError, match=r"Read less bytes than requested|changed while it was read"):
            if verb == "halve":
                tfbundle.halve(prefix, tmp_path / "out" / "m", options=options)
            elif verb == "average":
                tfbundle.average([tmp_path / "other", prefix], tmp_path / "out" / "m", options=options)
            else:
                tfbundle.merge([prefix], tmp_path / "out" / "m", options=options)
        assert not (tmp_path / "out").exists()
