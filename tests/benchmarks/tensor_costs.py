"""Times what the coordinator does for every tensor, however large it is.

Runs as ``python -m tests.benchmarks.tensor_costs ROUNDS ELEMENTS`` and prints samples as JSON.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable

import tfbundle
from tests.benchmarks.contenders import CUT_STEPS, ENTER_RESULTS, OPEN_INDEX, PLAN_ALL, WRITE_INDEX
from tests.benchmarks.inputs import build
from tests.benchmarks.sampling import Sample, sample, tell
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.conversion.request import Request
from tfbundle.format.index import encode_index_rows
from tfbundle.storage.local import LocalStorage
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.ledger import Ledger
from tfbundle.streaming.pipeline import StepContext, run_step
from tfbundle.streaming.steps import iter_steps
from tfbundle.streaming.workspace import Treatment

_TENSOR_NBYTES = 4096


def make_calls(prefix: str) -> dict[str, Callable[[], object]]:
    """Return what is timed, each for all tensors of a checkpoint."""
    request = Request(CastPolicy(), Selection(), Naming(), Layout())
    bundle = tfbundle.open(prefix)
    plan = request.plan(bundle)
    context = StepContext(LocalStorage(), {0: f"{prefix}.data-00000-of-00001"}, {}, Treatment())
    results = [run_step(context, step) for step in iter_steps(plan)]
    ledger = Ledger(plan)
    for result in results:
        ledger.enter(result)

    def enter() -> None:
        fresh = Ledger(plan)
        for result in results:
            fresh.enter(result)

    return {
        OPEN_INDEX: lambda: list(tfbundle.open(prefix).index.columns.size),
        PLAN_ALL: lambda: request.plan(bundle),
        CUT_STEPS: lambda: list(iter_steps(plan)),
        ENTER_RESULTS: enter,
        WRITE_INDEX: lambda: encode_index_rows(lambda piece: None, plan.header, ledger.iter_index_rows()),
    }


def run(rounds: int, elements: int) -> list[Sample]:
    """Return all samples, of seconds for a tensor."""
    tensors = max(100, elements // 26)
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "model")
        build("many", prefix, tensors * _TENSOR_NBYTES, tensors)
        return sample(make_calls(prefix), tensors, rounds)


if __name__ == "__main__":
    tell(run(int(sys.argv[1]), int(sys.argv[2])))
