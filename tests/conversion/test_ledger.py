from __future__ import annotations

import pickle
from itertools import permutations

import numpy as np
import pytest

from tests.support.handmade import FLOAT32, HandmadeTensor, floats, numpy_cast
from tests.support.tables import masked_crc
from tests.support.wire import entry_proto, shape_proto
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import CastStats
from tfbundle.conversion.ledger import Ledger
from tfbundle.conversion.pipeline import Piece, StepResult
from tfbundle.conversion.plan import Plan, Step
from tfbundle.conversion.planning import plan_halve
from tfbundle.conversion.select import Action, Decision
from tfbundle.errors import CastError, ChecksumError
from tfbundle.format.entries import BundleHeader
from tfbundle.format.index import BundleIndex
from tfbundle.sstable.checksum import crc32c


def plan_tensors(tensors: list[HandmadeTensor], action: Action = "cast", step_nbytes: int = 8) -> Plan:
    rows, end = {}, 0
    for tensor in tensors:
        rows[tensor.name] = tensor.placed(end)
        end += len(tensor.payload)
    decisions = {name.decode(): Decision(action, "test") for name in rows}
    return plan_halve(BundleIndex(BundleHeader(1), rows), [end], decisions, step_nbytes=step_nbytes)


def run_on(plan: Plan, number: int, data: bytes, stats: CastStats) -> StepResult:
    """What the pipeline would return for a step, worked out from a copy of the source shard."""
    step = plan.steps[number]
    assert isinstance(step, Step)
    result = StepResult([], [], [])
    for part in step.parts:
        piece = data[part.source_offset : part.source_offset + part.nbytes]
        target = numpy_cast(np.frombuffer(piece, "<f4")).tobytes() if part.transform.cast else piece
        result.read.append(Piece(part.source, part.source_offset, len(piece), crc32c(piece)))
        result.written.append(Piece(part.target, part.target_offset, len(target), crc32c(target)))
        if part.transform.cast:
            result.stats.append((part.target, stats))
    return result


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_parts_may_come_in_any_order(order: tuple[int, ...]) -> None:
    tensor = floats("w", [1, 2, 3, 4, 5])
    plan = plan_tensors([tensor])
    ledger = Ledger(plan)
    for number in order:
        ledger.enter(run_on(plan, number, tensor.payload, CastStats(2, overflow=1)))
    target = numpy_cast(np.arange(1, 6, dtype=np.float32)).tobytes()
    assert ledger.entries()[b"w"].crc32c == int.from_bytes(masked_crc(target), "little")
    assert ledger.stats == {b"w": CastStats(6, overflow=3)}


def test_copied_tensor_keeps_its_checksum_and_has_no_statistics() -> None:
    tensor = floats("w", [1, 2, 3])
    plan = plan_tensors([tensor], "keep")
    ledger = Ledger(plan)
    for number in range(len(plan.steps)):
        ledger.enter(run_on(plan, number, tensor.payload, CastStats()))
    assert ledger.entries()[b"w"].crc32c == tensor.stored_crc
    assert ledger.stats == {}


def test_first_tensor_that_is_damaged_is_named() -> None:
    tensors = [floats("a", [1, 2]), floats("b", [3, 4])]
    plan = plan_tensors(tensors)
    ledger = Ledger(plan)
    data = tensors[0].payload + b"\1" + tensors[1].payload[1:]
    ledger.enter(run_on(plan, 0, data, CastStats(2)))
    with pytest.raises(ChecksumError, match=r"tensor 'b'.*Checksum does not match") as caught:
        ledger.enter(run_on(plan, 1, data, CastStats(2)))
    assert caught.value.stored == crc32c(tensors[1].payload)
    assert caught.value.computed == crc32c(data[8:])
    assert caught.value.offset == 8
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
    ledger.stats = {
        b"a": CastStats(1, overflow=1, largest=7e4),
        b"b": CastStats(1),
        b"c": CastStats(9, overflow=5, largest=9e4),
    }
    return ledger


def test_overflow_names_the_worst_tensor() -> None:
    with pytest.raises(CastError, match=r"tensor c: 5 values overflow float16, largest magnitude 90000 ") as caught:
        overflowing().check_overflow(CastPolicy())
    error = caught.value
    assert (error.tensor, error.count, error.worst, error.others) == ("c", 5, 9e4, ("a",))
    assert "--on-overflow" in str(error)


@pytest.mark.parametrize("policy", [CastPolicy("inf"), CastPolicy("clamp")])
def test_overflow_may_be_allowed(policy: CastPolicy) -> None:
    overflowing().check_overflow(policy)
