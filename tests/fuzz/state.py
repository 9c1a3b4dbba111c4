"""The ``checkpoint`` file: parsed, written again, and followed."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import replace

import tfbundle
from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.scratch import laid_out
from tests.fuzz.target import Target, check_message
from tests.golden.make_golden import FILES
from tests.support.tables import WORKED_DATA, WORKED_TABLE
from tfbundle.errors import BundleError
from tfbundle.format.state import CheckpointState, add_checkpoint, format_state, parse_state

_PLAIN_LINE = re.compile(r'(model_checkpoint_path|all_model_checkpoint_paths): "([ !#-&(-\[\]-~]*)"')
_BUNDLE = {"m.index": WORKED_TABLE, "m.data-00000-of-00001": WORKED_DATA}


def check(data: bytes) -> None:
    """Parse the bytes, and open the directory in which they are the ``checkpoint`` file."""
    _check_text(data)
    with laid_out({"checkpoint": data, **_BUNDLE}) as folder:
        _check_directory(str(folder / "in"))


def _check_text(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    plain = _plain(text)
    try:
        state = parse_state(text)
    except BundleError as error:
        check_message(error)
        assert not (plain and plain.latest), "lines without anything special are refused"
        return
    assert state.latest
    if plain is not None:
        assert state == plain, "lines without anything special are read as something else"
    again = parse_state(format_state(state))
    assert repr(again) == repr(state), "written again it says something else"  # which NaN equals itself in
    added = add_checkpoint(state, "new-1", 5.0)
    assert (added.latest, added.all_paths[-1]) == ("new-1", "new-1")
    assert [path for path in added.all_paths if path != "new-1"] == [
        path for path in state.all_paths if path != "new-1"
    ]
    assert len(added.timestamps) in (0, len(added.all_paths))
    assert parse_state(format_state(replace(added, last_preserved=0.0))).all_paths == added.all_paths


def _plain(text: str) -> CheckpointState | None:
    """Return what lines say that have nothing special in them; None where some have, or say a thing twice."""
    matches = [_PLAIN_LINE.fullmatch(line) for line in text.split("\n") if line]
    found = [(match[1], match[2]) for match in matches if match]
    latest = [path for name, path in found if name == "model_checkpoint_path"]
    if len(found) < len(matches) or len(latest) != 1:
        return None
    return CheckpointState(latest[0], tuple(path for name, path in found if name != "model_checkpoint_path"))


def _check_directory(directory: str) -> None:
    try:
        state = tfbundle.get_checkpoint_state(directory)
    except BundleError:
        state = None
    for path in (state.latest, *state.all_paths) if state else ():
        inside = os.path.commonpath([directory, os.path.normpath(path)]) == directory
        assert inside, f"{path!r} leads out of the directory"
    try:
        latest = tfbundle.latest(directory)
    except BundleError:
        latest = None
    if latest is not None:
        assert state is not None
        assert latest == state.latest
    try:
        bundle = tfbundle.open(directory)
    except BundleError as error:
        check_message(error)
        return
    with bundle:
        assert sorted(bundle) == ["s", "v"], "another bundle than the only one"


def seeds() -> Iterator[bytes]:
    """Yield a file that TensorFlow wrote, and others."""
    yield (FILES / "objects" / "checkpoint").read_bytes()
    yield b'model_checkpoint_path: "m"\nall_model_checkpoint_paths: "m"\n'
    yield b'model_checkpoint_path: "/tmp/elsewhere/m"\nall_model_checkpoint_paths: "../../m"\n'
    yield b"model_checkpoint_path: 'm' all_model_checkpoint_paths: ['a', \"b\"] # comment\n"
    yield b'model_checkpoint_path: "m\\000\\x41\\u00e9" "\\n" last_preserved_timestamp: 1.5e300\n'
    yield 'model_checkpoint_path: "чекпойнт"\nall_model_checkpoint_timestamps: nan\n'.encode()
    yield b'model_checkpoint_path: "a" all_model_checkpoint_paths: "a" all_model_checkpoint_timestamps: 1700000000.5'


_TOKENS = [
    b'model_checkpoint_path: "m"', b"all_model_checkpoint_paths: ", b"all_model_checkpoint_timestamps: ",
    b"last_preserved_timestamp: ", b'"', b"'", b"\\000", b"\\", b"\\U0001F600", b"\\ud800", b"..", b"/", b"//", b"./",
    b"[", b"]", b"{", b"}", b"<", b",", b";", b"#", b"\n", b"-", b"1e999", b"inf", b"nan", b"0x10", b"1" * 400, b"m",
    b"\0", b"\xff", b"-?????-of-00001", b"-?????-of-99999999999", b"-00000-of-" + b"1" * 50, b"unknown: 1 ", b"a" * 300,
    "é\u202e".encode(),
]  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Put something that means something into the text, or change any byte."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(_TOKENS) + data[at + rng.choice((0, 0, 1, 2, 5, 20)) :]


TARGET = Target("state", check, seeds, mutate, 2048)
