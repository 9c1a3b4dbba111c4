from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tfbundle import CastPolicy, Layout, Naming, Selection
from tfbundle.choosing.decisions import Decision
from tfbundle.conversion.request import Request


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with tfbundle.create(tmp_path / "source") as writer:
        for row in range(2):
            writer.add_slice("parted", np.ones((1, 3), np.float32), shape=(2, 3), extents=((row, 1), (0, -1)))
        writer.add("step", np.int64(7))
        writer.add("w", np.ones(4, np.float32))
        writer.add("w/Adam", np.ones(4, np.float32))
    return tmp_path / "source"


USUAL = Request(CastPolicy(), Selection(), Naming(), Layout())


def test_plan_has_decisions_names_and_layout(source: Path) -> None:
    with tfbundle.open(source) as bundle:
        plan = USUAL._replace(naming=Naming(add_prefix="net/")).plan(bundle)
    assert [decision.action for decision in plan.decisions] == ["cast", "copy", "cast", "keep"]
    assert plan.edits.names[b"w"] == b"net/w"
    assert len(plan.joined) == 1
    assert plan.shard_nbytes == (6 * 2 + 8 + 4 * 2 + 4 * 4,)


def test_decisions_that_are_settled_are_taken(source: Path) -> None:
    with tfbundle.open(source) as bundle:
        first = USUAL.plan(bundle)
        plan = USUAL.plan(bundle, first.decisions.replaced({Decision("keep", "would overflow"): [2]}))
    assert [decision.action for decision in plan.decisions] == ["cast", "copy", "keep", "keep"]
    assert plan.shard_nbytes == (6 * 2 + 8 + 4 * 4 + 4 * 4,)


def test_survey_reads_what_is_cast_and_joins_nothing(source: Path) -> None:
    with tfbundle.open(source) as bundle:
        plan = USUAL.plan_survey(bundle, USUAL.plan(bundle).decisions)
    assert plan.source_nbytes == 6 * 4 + 4 * 4
    assert [decision.action for decision in plan.decisions] == ["cast", "drop", "cast", "drop"]
    assert not plan.joined


@pytest.mark.parametrize("policy", [CastPolicy(rules=(("w", "float64"),)), CastPolicy(sources=("float64",))])
def test_template_settles_every_dtype(source: Path, policy: CastPolicy) -> None:
    with tfbundle.open(source) as bundle, pytest.raises(ValueError, match="--like settles every dtype"):
        USUAL._replace(policy=policy, selection=Selection(like=str(source))).plan(bundle)
