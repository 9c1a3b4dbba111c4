from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.requirements import tensorflow_module
from tfbundle.errors import FormatError
from tfbundle.format.state import CheckpointState, add_checkpoint, format_state, parse_state

WRITTEN_BY_A_MANAGER = """\
model_checkpoint_path: "ckpt-3"
all_model_checkpoint_paths: "ckpt-2"
all_model_checkpoint_paths: "ckpt-3"
all_model_checkpoint_timestamps: 1795378582.2650504
all_model_checkpoint_timestamps: 1795378582.276879
last_preserved_timestamp: 1795378581.187866
"""
MANAGED = CheckpointState("ckpt-3", ("ckpt-2", "ckpt-3"), (1795378582.2650504, 1795378582.276879), 1795378581.187866)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
states = st.builds(
    CheckpointState,
    texts,
    st.lists(texts).map(tuple),
    st.lists(st.floats(0, 1e12)).map(tuple),
    st.floats(0, 1e12),
)


def test_file_of_a_checkpoint_manager() -> None:
    assert parse_state(WRITTEN_BY_A_MANAGER) == MANAGED
    assert format_state(MANAGED) == WRITTEN_BY_A_MANAGER


@pytest.mark.parametrize(
    "text",
    [
        'model_checkpoint_path: "a/b-1"',
        "model_checkpoint_path: 'a/b-1'",
        '# latest\nmodel_checkpoint_path: "a/b-1"  # so far',
        'model_checkpoint_path: "a/" "b-1"',
        'model_checkpoint_path:"a/b-1" last_preserved_timestamp: 0',
        'last_preserved_timestamp: 0; model_checkpoint_path: "\\141/b-1"',
    ],
)
def test_text_format(text: str) -> None:
    assert parse_state(text).latest == "a/b-1"


@pytest.mark.parametrize(
    "text",
    [
        'model_checkpoint_path: "a" unknown_field: 1',
        'model_checkpoint_path: "a',
        "model_checkpoint_path: a",
        "\0\0\0",
        "model_checkpoint_path",
        'model_checkpoint_path: "\\377"',  # no UTF-8
        'last_preserved_timestamp: "soon"',
    ],
)
def test_not_a_state_file(text: str) -> None:
    with pytest.raises(FormatError, match=r"^not a checkpoint state file: "):
        parse_state(text)


@pytest.mark.parametrize("text", ["", "# nothing", 'model_checkpoint_path: ""', 'all_model_checkpoint_paths: "a"'])
def test_no_latest_checkpoint(text: str) -> None:
    with pytest.raises(FormatError, match=r"^Invalid checkpoint state: model_checkpoint_path is empty$"):
        parse_state(text)


@given(states)
def test_round_trip(state: CheckpointState) -> None:
    assert parse_state(format_state(state)) == state


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            CheckpointState("a/2", ("a 1", "a/2")),
            'model_checkpoint_path: "a/2"\nall_model_checkpoint_paths: "a 1"\nall_model_checkpoint_paths: "a/2"\n',
        ),
        (CheckpointState('"'), 'model_checkpoint_path: "\\""\n'),
        (CheckpointState("a", ("\\",)), 'model_checkpoint_path: "a"\nall_model_checkpoint_paths: "\\\\"\n'),
        (CheckpointState("a", (), (1.5,)), 'model_checkpoint_path: "a"\nall_model_checkpoint_timestamps: 1.5\n'),
        (CheckpointState("a", (), (), 2.5), 'model_checkpoint_path: "a"\nlast_preserved_timestamp: 2.5\n'),
    ],
)
def test_text_that_is_written(state: CheckpointState, text: str) -> None:
    assert format_state(state) == text


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        state = parse_state(text)
    except FormatError:
        return
    assert state.latest


@given(states)
def test_tensorflow_reads_and_writes_the_same_text(state: CheckpointState) -> None:
    proto = tensorflow_module("python.training.checkpoint_state_pb2").CheckpointState
    from google.protobuf import text_format

    theirs = text_format.Parse(format_state(state), proto())
    assert theirs.model_checkpoint_path == state.latest
    assert tuple(theirs.all_model_checkpoint_paths) == state.all_paths
    assert text_format.MessageToString(theirs) == format_state(state)


def test_first_checkpoint() -> None:
    assert add_checkpoint(None, "ckpt-1", 5.0) == CheckpointState("ckpt-1", ("ckpt-1",))


def test_next_checkpoint_with_times() -> None:
    assert add_checkpoint(MANAGED, "ckpt-4", 1795378600.0) == CheckpointState(
        "ckpt-4",
        ("ckpt-2", "ckpt-3", "ckpt-4"),
        (1795378582.2650504, 1795378582.276879, 1795378600.0),
        1795378581.187866,
    )


def test_next_checkpoint_without_times() -> None:
    state = CheckpointState("a", ("a",))
    assert add_checkpoint(state, "b", 5.0) == CheckpointState("b", ("a", "b"))


def test_same_checkpoint_again_moves_to_the_end() -> None:
    added = add_checkpoint(MANAGED, "ckpt-2", 9.0)
    assert added == CheckpointState("ckpt-2", ("ckpt-3", "ckpt-2"), (1795378582.276879, 9.0), 1795378581.187866)


def test_fewer_times_than_paths_are_dropped() -> None:
    state = CheckpointState("b", ("a", "b"), (1.0,))
    assert add_checkpoint(state, "c", 5.0).timestamps == ()


def test_escape_that_is_none_stands_for_itself() -> None:
    assert parse_state(r'model_checkpoint_path: "a\.b"').latest == r"a\.b"
