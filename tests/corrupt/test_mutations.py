"""Every flipped bit and every cut of a bundle that TensorFlow wrote: what it accepts we accept, with the same values.

TensorFlow judges live. Nothing but an error of this package ever comes out instead of values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import pytest

from tests.corrupt.make_bases import BASES, REQUESTS, base_files
from tests.corrupt.mutations import (
    Mutation,
    additions,
    cuts,
    flips,
    sealed_flips,
    sealed_pairs,
    sealed_scrambles,
)
from tests.support.judge import CRASH, ERROR, HANG, judge_ours, judge_theirs

How = Literal["RestoreV2", "CheckpointReader"]

STRICTER = re.compile(
    "does not sort after|sorts after its block's index key|restart point|restarts in a block|varint"
    "|failed to seek to header|unknown endianness|shards, expected|has an entry of"
    "|bad entry in block|blocks take|bytes of more than|malformed"
)
"""Why we may refuse what TensorFlow reads; what else there is, it would take somebody's decision to add."""


HOWS: tuple[How, ...] = ("RestoreV2", "CheckpointReader")
RUNS = [
    pytest.param(base, how, marks=() if (base, how) == ("plain", "RestoreV2") else pytest.mark.campaign)
    for base in BASES
    for how in HOWS
]


class Record:
    """What became of the mutations, tensor by tensor.

    Both must read the same, except that the reader refuses all tensors where one entry is damaged: there, only what it
    reads is compared. What may be read instead, the op tells.
    """

    def __init__(self, how: How) -> None:
        self._how = how
        self.counts: Counter[str] = Counter()
        self.wrong: list[tuple[str, str, str, str]] = []

    def add(self, label: str, name: str, ours: str, theirs: str, error: str) -> None:
        """Compare two verdicts."""
        self.counts["cases"] += 1
        self.counts[f"ours {'refused' if ours == ERROR else 'read'}"] += 1
        self.counts[f"theirs {theirs if theirs in (ERROR, CRASH, HANG) else 'read'}"] += 1
        is_refused = theirs in (ERROR, CRASH, HANG)
        if ours == theirs or (is_refused and (ours == ERROR or self._how == "CheckpointReader")):
            return
        if ours == ERROR and STRICTER.search(error):
            self.counts["stricter"] += 1
            return
        self.wrong.append((label, name, f"{ours} {error}", theirs))


def compare(mutations: Iterable[Mutation], directory: Path, how: How = "RestoreV2") -> Record:
    """Let both read all mutations."""
    found = list(mutations)
    theirs = judge_theirs([mutation.files for mutation in found], REQUESTS, directory, how)
    record = Record(how)
    prefix = str(directory / "m")
    for mutation, their_verdicts in zip(found, theirs, strict=True):
        for suffix, contents in mutation.files.items():
            Path(prefix + suffix).write_bytes(contents)
        verdicts, errors = judge_ours(prefix, REQUESTS)
        for (name, _), ours, their_verdict, error in zip(REQUESTS, verdicts, their_verdicts, errors, strict=True):
            record.add(mutation.label, name, ours, their_verdict, error)
    print(how, dict(record.counts), record.wrong[:20])
    return record


def test_bases_are_sound(tmp_path: Path) -> None:
    record = compare([Mutation(base, base_files(base)) for base in ("plain", "snappy")], tmp_path)
    assert record.counts["ours read"] == 8
    assert record.counts["theirs read"] == 8
    assert not record.wrong
    shards = compare([Mutation("shards", base_files("shards"))], tmp_path)
    assert shards.counts["ours read"] == 4
    assert not shards.wrong


@pytest.mark.parametrize(("base", "how"), RUNS)
def test_t1_every_bit_flipped(tmp_path: Path, base: str, how: How) -> None:
    record = compare(flips(base_files(base)), tmp_path, how)
    assert record.wrong == []
    assert record.counts["stricter"] == 0
    assert record.counts["ours read"]
    assert record.counts["ours refused"]


@pytest.mark.parametrize(("base", "how"), RUNS)
def test_t2_every_cut_and_more_bytes(tmp_path: Path, base: str, how: How) -> None:
    record = compare([*cuts(base_files(base)), *additions(base_files(base))], tmp_path, how)
    assert record.wrong == []
    assert record.counts["stricter"] == 0
    assert record.counts["ours refused"]


@pytest.mark.parametrize("base", BASES)
def test_t3_every_bit_within_blocks(tmp_path: Path, base: str) -> None:
    record = compare(sealed_flips(base_files(base)), tmp_path)
    assert record.wrong == []
    assert record.counts["ours read"]


CAMPAIGN: dict[str, Callable[[dict[str, bytes], int, int], Iterable[Mutation]]] = {
    "pairs": sealed_pairs,
    "scrambles": sealed_scrambles,
}
COUNT = 4000


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", CAMPAIGN)
@pytest.mark.parametrize("base", BASES)
def test_t3_several_bits_within_blocks(tmp_path: Path, base: str, kind: str, seed: int) -> None:
    record = compare(CAMPAIGN[kind](base_files(base), COUNT, seed), tmp_path)
    assert record.wrong == []


@pytest.mark.campaign
@pytest.mark.parametrize("base", BASES)
def test_t3_every_bit_within_blocks_for_the_reader(tmp_path: Path, base: str) -> None:
    """Where RestoreV2 is told a dtype and compares it, the reader goes by the entry, and dies of many."""
    record = compare(sealed_flips(base_files(base)), tmp_path, "CheckpointReader")
    assert record.wrong == []
    assert record.counts["theirs crash"] > 100
