"""Damaged checkpoints and odd ``checkpoint`` files: the classes of errors are TensorFlow's, but for a written list.

The damage is that of ``tests/interop/test_error_table.py``, flipped bits of a V1 checkpoint, and state files by hand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compat.answers import Answers, ask
from tests.interop.test_error_table import ABORTS, ACCEPTED, DIFFERENCES, PLAIN, REFUSED, Make, bundle
from tests.support.requirements import tensorflow

DIED = "the process"


@dataclass(frozen=True)
class Row:
    """Where the stand-in answers otherwise about damage.

    Attributes:
        situations: a regular expression for them.
        questions: likewise.
        theirs: class of TensorFlow's error; ``value`` if it answers, or ``the process`` if that dies.
        ours: likewise.
    """

    situations: str
    questions: str
    theirs: str
    ours: str


OPENING = "NewCheckpointReader|list_variables( v1| of a Path| of bytes)?"
GETTING = "get_tensor t( as bytes)?|load_(variable|checkpoint) t(:0| v1)?"
VERSIONS = "producer below 0|newer consumers only|this consumer is bad"
FATAL = "|".join([*ABORTS, "shape that overflows", "no shards", "slice without an entry"])
STRICT = "a key twice.*|no header.*|unknown endianness.*"

ROWS = (
    Row("nothing is read from the row of the header", "(has|get)_tensor of nothing", "", ""),
    Row(f"refused: ({VERSIONS})", OPENING, "ValueError", "OpError"),
    Row(f"(refused|aborts): ({FATAL})", ".*", DIED, ".*"),
    Row("refused: negative offset", GETTING, "ValueError", "OpError"),
    Row("refused: length of too many bytes", GETTING, "IndexError", "OpError"),
    Row("refused: (overlapping slices|slice beyond the tensor)", GETTING, "OpError", "ValueError"),
    Row("refused: index block without handles", "list_variables of the index", "InternalError", "DataLossError"),
    Row(f"difference: ({STRICT})", f"{OPENING}|{GETTING}", "value", "OpError"),
    Row("difference: a key twice.*", "list_variables of the index", "value", "InternalError"),
    Row("name: control characters", "get_tensor .*:0", "NotFoundError", "NotFoundError"),  # escaped in the message
    Row("difference: entry of a slice .*", GETTING, "value", "ValueError"),
)

STATES = {
    "good": b'model_checkpoint_path: "m"\nall_model_checkpoint_paths: "m"\n',
    "bytes": b"\x00\xff",
    "no text of a message": b"nonsense{",
    "empty": b"",
    "no latest": b'all_model_checkpoint_paths: "m"\n',
    "latest missing": b'model_checkpoint_path: "x"\n',
    "outside": b'model_checkpoint_path: "../state good/m"\nall_model_checkpoint_paths: "/m"\n',
    "escapes": b'model_checkpoint_path: "\\155"\n',
    "unknown field": b'model_checkpoint_path: "m"\nfoo: 3\n',
    "latest twice": b'model_checkpoint_path: "m"\nmodel_checkpoint_path: "n"\n',
    "times": b'model_checkpoint_path: "m"\nall_model_checkpoint_timestamps: 1.5\nlast_preserved_timestamp: 2\n',
    "comment": b'# made by hand\nmodel_checkpoint_path: "m"',
}


def iter_situations(v1: bytes) -> Iterator[tuple[str, Make]]:
    yield from ((f"refused: {row.situation}", row.make) for row in REFUSED)
    yield from ((f"accepted: {leniency.situation}", leniency.make) for leniency in ACCEPTED)
    yield from ((f"difference: {situation}", make) for situation, (make, *_) in DIFFERENCES.items())
    yield from ((f"aborts: {situation}", make) for situation, (make, _) in ABORTS.items())
    yield "name: no UTF-8", bundle(more={b"\xff\xfe": PLAIN})
    yield "name: control characters", bundle(more={"ä\x1b[2J".encode(): PLAIN})
    yield "pointer", lambda prefix: _write(f"{prefix}.index", b"version https://git-lfs.github.com/spec/v1\noid 0\n")
    yield "V1: whole", lambda prefix: _write(prefix, v1)
    yield "V1: empty", lambda prefix: _write(prefix, b"")
    yield "V1: cut", lambda prefix: _write(prefix, v1[:-1])
    for at in range(3, len(v1), len(v1) // 25):
        changed = v1[:at] + bytes([v1[at] ^ 1]) + v1[at + 1 :]
        yield f"V1: bit {at}", lambda prefix, changed=changed: _write(prefix, changed)  # type: ignore[misc]
    for state, text in STATES.items():
        yield f"state {state}", lambda prefix, text=text: _write_state(prefix, text)  # type: ignore[misc]


def _write(path: str, contents: bytes) -> None:
    Path(path).write_bytes(contents)


def _write_state(prefix: str, text: bytes) -> None:
    bundle()(prefix)
    _write(os.path.join(os.path.dirname(prefix), "checkpoint"), text)


def _v1_checkpoint(directory: Path) -> bytes:
    tf = tensorflow()
    path = str(directory / "v1")
    tensors = [np.arange(500, dtype=np.float32), np.arange(9).reshape(3, 3), np.array([b"a", b"bc"], object)]
    tf.raw_ops.Save(filename=path, tensor_names=["w", "i", "s"], data=[tf.constant(tensor) for tensor in tensors])
    return Path(path).read_bytes()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Answers, Answers]]:
    """Return what both say of each situation."""
    directory = tmp_path_factory.mktemp("damage")
    situations = dict(iter_situations(_v1_checkpoint(directory)))
    prefixes = []
    for number, (situation, make) in enumerate(situations.items()):
        folder = directory / (situation if situation.startswith("state") else str(number))
        folder.mkdir()
        prefixes.append(str(folder / "m"))
        make(prefixes[-1])
    answers = zip(ask("theirs", prefixes, directory), ask("ours", prefixes, directory), strict=True)
    return dict(zip(situations, answers, strict=True))


def _class_of(answer: Any) -> str:
    return str(answer["error"]) if isinstance(answer, dict) and "error" in answer else "value"


def _explains(row: Row, situation: str, question: str, theirs: str, ours: str) -> bool:
    found = re.fullmatch(row.situations, situation, re.DOTALL) and re.fullmatch(row.questions, question, re.DOTALL)
    return bool(found) and row.theirs == theirs and bool(re.fullmatch(row.ours, ours))


def test_errors_are_of_tensorflows_classes(told: dict[str, tuple[Answers, Answers]]) -> None:
    used: set[Row] = {ROWS[0]}
    unexplained = []
    for situation, (theirs, ours) in told.items():
        died = "died" in theirs
        for question, right in ours.items():
            if question not in theirs and not died:
                continue  # about a reader that TensorFlow could not open, or the other way round
            left = theirs.get(question)
            if (left == right and not died) or re.fullmatch(ROWS[0].questions, question):
                continue
            pair = DIED if died else _class_of(left), _class_of(right)
            rows = [row for row in ROWS if _explains(row, situation, question, *pair)]
            used.update(rows)
            if not rows:
                unexplained.append(f"{situation}: {question}: {pair[0]}, here {pair[1]}")
    assert not unexplained, "\n".join(unexplained[:30])
    assert [row.situations for row in ROWS if row not in used] == []


def test_readers_open_where_tensorflows_does(told: dict[str, tuple[Answers, Answers]]) -> None:
    """So that no question is left out above without a reason."""
    differ = {
        situation for situation, (theirs, ours) in told.items() if "died" not in theirs and theirs.keys() != ours.keys()
    }
    assert differ == {situation for situation in told if re.fullmatch(f"difference: ({STRICT})", situation)}


def test_what_ends_the_process_is_an_error_here(told: dict[str, tuple[Answers, Answers]]) -> None:
    fatal = {situation for situation, (theirs, _) in told.items() if "died" in theirs}
    assert {f"aborts: {situation}" for situation in ABORTS} <= fatal
    for situation in fatal:
        _, ours = told[situation]
        asked = [ours.get("NewCheckpointReader"), ours.get("get_tensor t")]
        assert any(_class_of(answer) in ("OpError", "ValueError") for answer in asked if answer), situation


def test_the_same_number_of_cases_is_judged(told: dict[str, tuple[Answers, Answers]]) -> None:
    assert len(told) > 90
    assert sum("died" not in theirs for theirs, _ in told.values()) > 80
