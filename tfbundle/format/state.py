"""The ``checkpoint`` file: which checkpoint of a directory is the latest.

Source: TensorFlow ``python/checkpoint/checkpoint_management.py`` (``get_checkpoint_state``,
``generate_checkpoint_state_proto``); the text format is protobuf's.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from tfbundle.errors import FormatError
from tfbundle.format.naming import STATE_FILENAME as STATE_FILENAME  # noqa: PLC0414 for who knows it from here
from tfbundle.pb import message_class

MAX_STATE_NBYTES = 1 << 20


@dataclass(frozen=True)
class CheckpointState:
    """The decoded file.

    Attributes:
        latest: prefix of the latest checkpoint; relative ones are relative to the file's directory.
        all_paths: prefixes of all checkpoints that are kept, oldest first.
        timestamps: seconds since 1970 at which each of them was written, or empty.
        last_preserved: seconds since 1970 of the last one that is kept for ever, or 0.
    """

    latest: str
    all_paths: tuple[str, ...] = ()
    timestamps: tuple[float, ...] = ()
    last_preserved: float = 0.0


_UNQUOTED = r"[ !#-&(-\[\]-~]+"


def parse_state(text: str) -> CheckpointState:
    """Parse the text of a ``checkpoint`` file.

    Raises:
        FormatError: not the text form of a CheckpointState, or one without a latest checkpoint.

    Example:
        >>> parse_state('model_checkpoint_path: "ckpt-3"').latest
        'ckpt-3'
    """
    from google.protobuf import text_format

    message = message_class("CheckpointState")()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that Python does not know stands for itself
            text_format.Parse(text, message)
    except (text_format.ParseError, UnicodeError) as error:
        raise FormatError(f"not a checkpoint state file: {error}") from error
    if not message.model_checkpoint_path:
        raise FormatError("Invalid checkpoint state: model_checkpoint_path is empty")
    return CheckpointState(
        message.model_checkpoint_path,
        tuple(message.all_model_checkpoint_paths),
        tuple(message.all_model_checkpoint_timestamps),
        message.last_preserved_timestamp,
    )


def format_state(state: CheckpointState) -> str:
    """Return the text of a ``checkpoint`` file.

    Example:
        >>> print(format_state(CheckpointState("ckpt-3", ("ckpt-3",))), end="")
        model_checkpoint_path: "ckpt-3"
        all_model_checkpoint_paths: "ckpt-3"
    """
    paths = (state.latest, *state.all_paths)
    if not (state.timestamps or state.last_preserved) and all(re.fullmatch(_UNQUOTED, path) for path in paths):
        names = ("model_checkpoint_path", *["all_model_checkpoint_paths"] * len(state.all_paths))
        return "".join(f'{name}: "{path}"\n' for name, path in zip(names, paths, strict=True))
    from google.protobuf import text_format  # slow to import; it quotes what has to be

    message = message_class("CheckpointState")(
        model_checkpoint_path=state.latest,
        all_model_checkpoint_paths=state.all_paths,
        all_model_checkpoint_timestamps=state.timestamps,
        last_preserved_timestamp=state.last_preserved,
    )
    return text_format.MessageToString(message)


def add_checkpoint(state: CheckpointState | None, prefix: str, time: float) -> CheckpointState:
    """Return the state after one more checkpoint was written, which then is the latest.

    Args:
        state: the state before, None if there was none.
        prefix: of the new checkpoint, relative to the directory.
        time: seconds since 1970; recorded only where the state has timestamps for all others.
    """
    if state is None:
        return CheckpointState(prefix, (prefix,))
    times = dict(zip(state.all_paths, state.timestamps, strict=False))
    kept = tuple(path for path in state.all_paths if path != prefix)
    timed = bool(times) and all(path in times for path in kept)
    timestamps = (*(times[path] for path in kept), time) if timed else ()
    return CheckpointState(prefix, (*kept, prefix), timestamps, state.last_preserved)
