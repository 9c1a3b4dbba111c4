"""Plans whose steps are done one by one."""

from __future__ import annotations

from pathlib import Path

import tfbundle
from tests.support.handmade import HandmadeBundle
from tfbundle.casting.stats import CastStats
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.storage.local import LocalStorage
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.pipeline import StepContext, StepResult
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.workspace import Treatment

Plain = tuple[list[list[list[int]]], list[tuple[list[int], list[CastStats]]]]


def prepare(bundle: HandmadeBundle, folder: Path, step_nbytes: int = 1 << 20) -> tuple[StepContext, Plan]:
    """Plan to cast a bundle, and make its empty target file."""
    source = bundle.write(folder / "source")
    with tfbundle.open(source) as reader:
        decisions = Decisions.of(
            Decision("cast", "test", 19) if info.dtype == "float32" else Decision("copy", "test")
            for info in reader.entries.values()
        )
        plan = plan_conversion(
            reader.index, [shard.nbytes for shard in reader.open_shards()], decisions, Layout(), step_nbytes=step_nbytes
        )
    target = folder / "target"
    target.write_bytes(bytes(plan.shard_nbytes[0]))
    return StepContext(LocalStorage(), {0: f"{source}.data-00000-of-00001"}, {0: str(target)}, Treatment("inf")), plan


def to_plain(result: StepResult) -> Plain:
    """Return a result as lists, which compare."""
    pieces = [[column.tolist() for column in piece] for piece in (*result.read, *result.written)]
    return pieces, [(rows.tolist(), list(stats)) for rows, stats in result.stats]
