from __future__ import annotations

import pickle
from dataclasses import asdict
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.handmade import FLOAT32, HandmadeTensor, floats, numpy_cast
from tests.support.tables import masked_crc
from tests.support.wire import entry_proto, shape_proto
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.choosing.decisions import Action, Decision, Decisions
from tfbundle.errors import CastError, ChecksumError
from tfbundle.format.entries import BundleHeader, decode_entry
from tfbundle.format.index import BundleIndex
from tfbundle.sstable.checksum import crc32c
from tfbundle.streaming.ledger import Ledger
from tfbundle.streaming.pipeline import Pieces, StepResult
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.steps import Run, Step, iter_steps


def plan_tensors(tensors: list[HandmadeTensor], action: Action = "cast", step_nbytes: int = 16) -> Plan:
    rows, end = {}, 0
    for tensor in tensors:
        rows[tensor.name] = tensor.placed(end)
        end += len(tensor.payload)
    decisions = Decisions.of([Decision(action, "test", 19 if action == "cast" else 0)] * len(rows))
    return plan_conversion(BundleIndex(BundleHeader(1), rows), [end], decisions, step_nbytes=step_nbytes)


def run_on(plan: Plan, number: int, data: bytes, stats: CastStats) -> StepResult:
    """What the pipeline would return for a step, worked out from a copy of the source shard."""
    step = list(iter_steps(plan))[number]
    assert isinstance(step, Step)
    result = StepResult([], [], [])
    for run in step.runs:
        offsets = run.source_offset + np.cumsum(run.sizes) - run.sizes
        parts = [data[at : at + nbytes] for at, nbytes in zip(offsets, run.sizes, strict=True)]
        targets = [numpy_cast(np.frombuffer(part, "<f4")).tobytes() if run.transform.cast else part for part in parts]
        result.read.append(pieces_of(run, offsets, parts))
        result.written.append(pieces_of(run, offsets, targets))
        if run.transform.cast:
            result.stats.append((run.rows, table_of([stats] * len(parts))))
    return result


def pieces_of(run: Run, offsets: NDArray[np.int64], parts: list[bytes]) -> Pieces:
    crcs = np.array([crc32c(part) for part in parts], np.uint32)
    return Pieces(run.rows, offsets, np.array([len(part) for part in parts]), crcs)


def table_of(rows: list[CastStats]) -> StatsTable:
    table = StatsTable(len(rows))
    for number, stats in enumerate(rows):
        for field, value in asdict(stats).items():
            if field != "deviation":
                getattr(table, field)[number] = value
    return table


def crc_of(ledger: Ledger, key: bytes) -> int:
    return decode_entry(dict(ledger.iter_index_rows())[key]).crc32c


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_parts_may_come_in_any_order(order: tuple[int, ...]) -> None:
    tensor = floats("w", np.arange(1, 11))
    plan = plan_tensors([tensor])
    ledger = Ledger(plan)
    for number in order:
        ledger.enter(run_on(plan, number, tensor.payload, CastStats(2, overflow=1)))
    target = numpy_cast(np.arange(1, 11, dtype=np.float32)).tobytes()
    assert crc_of(ledger, b"w") == int.from_bytes(masked_crc(target), "little")
    assert list(ledger.stats) == [CastStats(6, overflow=3)]


def test_copied_tensor_keeps_its_checksum_and_has_no_statistics() -> None:
    tensor = floats("w", [1, 2, 3, 4, 5])
    plan = plan_tensors([tensor], "keep")
    ledger = Ledger(plan)
    for number in range(2):
        ledger.enter(run_on(plan, number, tensor.payload, CastStats()))
    assert crc_of(ledger, b"w") == tensor.stored_crc
    assert list(ledger.stats) == [CastStats()]


def test_first_tensor_that_is_damaged_is_named() -> None:
    tensors = [floats("a", [1, 2, 3, 4]), floats("b", [5, 6, 7, 8])]
    plan = plan_tensors(tensors)
    ledger = Ledger(plan)
    data = tensors[0].payload + b"\1" + tensors[1].payload[1:]
    ledger.enter(run_on(plan, 0, data, CastStats(2)))
    with pytest.raises(ChecksumError, match=r"tensor 'b'.*Checksum does not match") as caught:
        ledger.enter(run_on(plan, 1, data, CastStats(2)))
    assert caught.value.stored == crc32c(tensors[1].payload)
    assert caught.value.computed == crc32c(data[16:])
    assert caught.value.offset == 16
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_tensor_without_bytes_has_a_checksum_too() -> None:
    sound = floats("sound", [])
    Ledger(plan_tensors([sound])).check_complete()
    broken = HandmadeTensor(b"broken", FLOAT32, (0,), b"", crc=12345)
    with pytest.raises(ChecksumError, match="tensor 'broken'"):
        Ledger(plan_tensors([sound, broken])).check_complete()
    assert entry_proto(FLOAT32, shape_proto(0), 0, 12345) == broken.placed(0)


def overflowing() -> Ledger:
    plan = plan_tensors([floats("a", [1]), floats("b", [2]), floats("c", [3])])
    ledger = Ledger(plan)
    ledger.stats = table_of(
        [CastStats(1, overflow=1, largest=7e4), CastStats(1), CastStats(9, overflow=5, largest=9e4)]
    )
    return ledger


def test_overflow_names_the_worst_tensor() -> None:
    with pytest.raises(CastError, match=r"tensor c: 5 values overflow float16, largest magnitude 90000 ") as caught:
        overflowing().check_overflow("error")
    error = caught.value
    assert (error.tensor, error.count, error.worst, error.others) == ("c", 5, 9e4, ("a",))
    assert "--on-overflow" in str(error)


@pytest.mark.parametrize("on_overflow", ["inf", "clamp"])
def test_overflow_may_be_allowed(on_overflow: OnOverflow) -> None:
    overflowing().check_overflow(on_overflow)
