"""The parity table: every method and function of the stand-in on every checkpoint of the corpus, against TensorFlow.

Results and classes of errors are equal but for what ``DIFFERENCES`` lists, every row of which occurs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.compat.answers import Answers, ask
from tests.support.corpus import Item, iter_items
from tests.support.requirements import corpus_root, tensorflow

ANY_VALUE = "a value"


@dataclass(frozen=True)
class Difference:
    """Something that the stand-in answers otherwise.

    Attributes:
        reason: why.
        question: a regular expression for the questions.
        kinds: which checkpoints it is about, ``"V2"`` and so on.
        theirs: what TensorFlow answers: the class of its error, or a value.
        ours: what the stand-in answers.
        holds: whether it is so for a checkpoint and a tensor in it.
    """

    reason: str
    question: str
    kinds: tuple[str, ...]
    theirs: str
    ours: str
    holds: Callable[[Item, str], bool] = lambda item, name: True

    def explains(self, item: Item, question: str, theirs: Any, ours: Any) -> bool:
        match = re.fullmatch(self.question, question, re.DOTALL)
        if match is None or item.kind not in self.kinds or (_kind(theirs), _kind(ours)) != (self.theirs, self.ours):
            return False
        return self.holds(item, match[match.lastindex] if match.lastindex else "")


def _kind(answer: Any) -> str:
    if isinstance(answer, dict):
        return str(answer.get("error", ANY_VALUE))
    return str(answer[1]) if answer and answer[0] == "bool" else ANY_VALUE


def _is_sliced(item: Item, name: str) -> bool:
    """Tell whether a tensor is one that TensorFlow says it cannot put together."""
    return item.tensors[name].dtype in ("float16", "string") and item.table.get("slice_entries") != 0


def _is_beyond_v1_reader(item: Item, name: str) -> bool:
    return item.tensors[name].dtype not in ("float32", "float64", "int32", "uint8", "int16", "int8", "int64", "string")


FUNCTIONS = {
    *("list_variables", "load_checkpoint", "NewCheckpointReader", "latest_checkpoint", "get_checkpoint_state"),
    *("checkpoints_iterator", "checkpoint_exists", "get_checkpoint_mtimes", "gfile.exists", "gfile.glob", "gfile.Glob"),
    *("gfile.listdir", "gfile.walk", "gfile.join", "gfile.isdir", "gfile.stat", "gfile.GFile"),
}
METHODS = {
    *("get_variable_to_shape_map", "get_variable_to_dtype_map", "has_tensor", "get_tensor", "debug_string"),
    "load_variable",
}

READING = "(?:get_tensor|load_checkpoint|load_variable) (.*?)(?: as bytes| v1|:0)?"
V1 = ("V1", "V1sharded")
NO_NAME = "The empty key is that of the index's header, which is no tensor."

DIFFERENCES = (
    Difference(NO_NAME, "has_tensor of nothing", ("V2",), "True", "False"),
    Difference(NO_NAME, "get_tensor of nothing", ("V2",), "OpError", "NotFoundError"),
    Difference(
        "TensorFlow cannot put slices of float16 and of strings together; here they are read.",
        READING,
        ("V2",),
        "ValueError",
        ANY_VALUE,
        _is_sliced,
    ),
    Difference(
        "TensorFlow's reader has no code for these dtypes in V1 checkpoints; here they are read.",
        READING,
        V1,
        "UnimplementedError",
        ANY_VALUE,
        _is_beyond_v1_reader,
    ),
    Difference(
        "TensorFlow's reader does not read partitioned tensors of V1 checkpoints; here they are read.",
        READING,
        V1,
        "UnimplementedError",
        ANY_VALUE,
        lambda item, name: not _is_beyond_v1_reader(item, name),
    ),
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Item, Answers, Answers]]:
    """Return what both say of each checkpoint."""
    root = corpus_root()
    tensorflow()
    items = list(iter_items(root))
    directory = tmp_path_factory.mktemp("answers")
    prefixes = [item.prefix for item in items]
    return list(zip(items, ask("theirs", prefixes, directory), ask("ours", prefixes, directory), strict=True))


def test_answers_are_those_of_tensorflow(table: list[tuple[Item, Answers, Answers]]) -> None:
    found: Counter[Difference] = Counter()
    unexplained = []
    for item, theirs, ours in table:
        for question in theirs.keys() | ours.keys():
            left, right = theirs.get(question), ours.get(question)
            if left == right:
                continue
            rows = [row for row in DIFFERENCES if row.explains(item, question, left, right)]
            found.update(rows)
            if len(rows) != 1:
                unexplained.append(f"{item.label}: {question}: {left} here {right}")
    print(f"\n{len(table)} checkpoints, {sum(len(theirs) for _, theirs, _ in table)} answers; those that differ:")
    for row in DIFFERENCES:
        print(f"{found[row]:6} {row.reason} ({row.theirs}, here {row.ours})")
    assert not unexplained, "\n".join(unexplained[:20])
    assert [row.reason for row in DIFFERENCES if not found[row]] == []


def test_every_function_is_asked(table: list[tuple[Item, Answers, Answers]]) -> None:
    for _, theirs, ours in table:
        asked = {question.split()[0] for question in ours}
        assert asked >= (FUNCTIONS if "NewCheckpointReader" in ours else FUNCTIONS | METHODS)
        assert {question.split()[0] for question in theirs} == asked
    assert sum("get_tensor elsewhere" in theirs for _, theirs, _ in table) > 100


def test_table_is_complete(table: list[tuple[Item, Answers, Answers]]) -> None:
    assert len({item.directory for item, _, _ in table}) == 61
    for item, theirs, _ in table:
        assert {f"get_tensor {name}" for name in item.tensors} <= theirs.keys(), item.label
    assert sum(len(theirs) for _, theirs, _ in table) > 30_000
    errors = Counter(_kind(answer) for _, theirs, _ in table for answer in theirs.values())
    assert {"NotFoundError", "OpError", "DataLossError", "ValueError", "TypeError", "UnimplementedError"} <= set(errors)
