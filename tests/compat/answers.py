"""The same questions to TensorFlow and to its stand-in, each in a process of its own whose children may die.

An answer is plain data: what a value is (type, dtype, shape, digest of its bytes) or the class of the error,
and for some its message.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.support.processes import TOP, environment

Who = Literal["theirs", "ours"]
Answers = dict[str, Any]
"""By question; ``died`` is the only one where the process did."""


def ask(who: Who, prefixes: Sequence[str], directory: Path) -> list[Answers]:
    """Return the answers about each checkpoint."""
    work = directory / f"{who}.json"
    work.write_text(json.dumps(list(prefixes)))
    command = [sys.executable, "-m", "tests.compat.answers", who, str(work)]
    variables = environment(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    done = subprocess.run(command, check=True, capture_output=True, cwd=TOP, env=variables)
    found: list[Answers] = json.loads(done.stdout.splitlines()[-1])
    return found


def describe(value: Any) -> Any:
    """Return what stands for a value: equal where values, types and dtypes are."""
    if isinstance(value, (np.ndarray, np.generic)):
        flags = [bool(value.flags.writeable), bool(value.flags.c_contiguous)] if isinstance(value, np.ndarray) else []
        contents = repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
        digest = hashlib.sha1(contents).hexdigest()
        return [type(value).__name__, str(value.dtype), list(value.shape), digest, *flags]
    if isinstance(value, bytes):
        return ["bytes", hashlib.sha1(value).hexdigest()]
    if isinstance(value, dict):
        return ["dict", *([key, describe(each)] for key, each in value.items())]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(describe, value)]
    if type(value).__name__ == "DType":
        return ["DType", repr(value), value.as_datatype_enum, value.size]
    if type(value).__name__ == "CheckpointState":
        return ["CheckpointState", str(value)]
    return [type(value).__name__, repr(value)]


def answer(question: Callable[[], Any]) -> Any:
    """Return what stands for the result of a call, or for the class and the code of its error."""
    try:
        return describe(question())
    except Exception as error:
        kind = type(error).__name__
        message = str(error) if kind in ("NotFoundError", "TypeError") else ""
        return {"error": kind, "code": getattr(error, "error_code", None), "message": message}


def iter_questions(tf: Any, prefix: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield questions about a checkpoint, with what asks them."""
    train, v1, folder = tf.train, tf.compat.v1, os.path.dirname(prefix)
    yield "list_variables", lambda: train.list_variables(prefix)
    yield "list_variables v1", lambda: v1.train.list_variables(prefix)
    yield "list_variables of a Path", lambda: train.list_variables(pathlib.Path(prefix))
    yield "list_variables of bytes", lambda: train.list_variables(os.fsencode(prefix))
    yield "list_variables of the index", lambda: train.list_variables(f"{prefix}.index")
    yield "list_variables of the data", lambda: train.list_variables(f"{prefix}.data-00000-of-00001")
    yield "list_variables of the folder", lambda: train.list_variables(folder)
    yield "list_variables elsewhere", lambda: train.list_variables(f"{prefix}-no-such")
    yield "list_variables of a pattern", lambda: train.list_variables(f"{prefix}-?????-of-?????")
    yield "load_checkpoint of None", lambda: train.load_checkpoint(None)
    yield "latest_checkpoint", lambda: train.latest_checkpoint(folder)
    yield "latest_checkpoint v1", lambda: v1.train.latest_checkpoint(pathlib.Path(folder))
    yield "latest_checkpoint by name", lambda: train.latest_checkpoint(folder, "no such file")
    yield "get_checkpoint_state", lambda: train.get_checkpoint_state(folder)
    yield "get_checkpoint_state v1", lambda: v1.train.get_checkpoint_state(pathlib.Path(folder))
    yield "checkpoints_iterator", lambda: list(train.checkpoints_iterator(folder, timeout=0))
    yield (
        "checkpoints_iterator v1",
        lambda: list(v1.train.checkpoints_iterator(folder, timeout=0, timeout_fn=lambda: True)),
    )
    yield "checkpoint_exists", lambda: v1.train.checkpoint_exists(prefix)
    yield "checkpoint_exists elsewhere", lambda: v1.train.checkpoint_exists(f"{prefix}-no-such")
    yield "get_checkpoint_mtimes", lambda: v1.train.get_checkpoint_mtimes([prefix, f"{prefix}-no-such"])
    yield "NewCheckpointReader of the folder", lambda: v1.train.NewCheckpointReader(folder)
    yield "gfile.exists", lambda: tf.io.gfile.exists(f"{prefix}.index")
    yield "gfile.glob", lambda: tf.io.gfile.glob(f"{prefix}*")
    yield "gfile.Glob", lambda: v1.gfile.Glob(f"{folder}/*.inde[x]")
    yield "gfile.walk", lambda: list(tf.io.gfile.walk(folder))
    yield "gfile.join", lambda: tf.io.gfile.join(folder, "a", "/b", "c")
    yield "gfile.listdir", lambda: tf.io.gfile.listdir(folder)
    yield "gfile.isdir", lambda: [tf.io.gfile.isdir(folder), v1.gfile.IsDirectory(prefix)]
    yield "gfile.stat", lambda: _stat(tf.io.gfile.stat(f"{prefix}.index"))
    yield "gfile.GFile", lambda: tf.io.gfile.GFile(f"{prefix}.index", "rb").read()
    yield "gfile.GFile as text", lambda: v1.gfile.Open(f"{folder}/checkpoint").read()
    yield from iter_reader_questions(v1, train, prefix)


def iter_reader_questions(v1: Any, train: Any, prefix: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield questions to a reader of a checkpoint, about every tensor in it."""
    try:
        reader = v1.train.NewCheckpointReader(prefix)
    except Exception:
        yield "NewCheckpointReader", lambda: v1.train.NewCheckpointReader(prefix)
        return
    yield "get_variable_to_shape_map", reader.get_variable_to_shape_map
    yield "get_variable_to_dtype_map", reader.get_variable_to_dtype_map
    yield "debug_string", reader.debug_string
    yield "has_tensor elsewhere", lambda: reader.has_tensor("no such tensor")
    yield "has_tensor of nothing", lambda: reader.has_tensor("")
    yield "has_tensor of a number", lambda: reader.has_tensor(3)
    yield "get_tensor elsewhere", lambda: reader.get_tensor("no such tensor")
    yield "get_tensor of nothing", lambda: reader.get_tensor("")
    yield "get_tensor of a number", lambda: reader.get_tensor(3)
    try:
        names = sorted(reader.get_variable_to_shape_map())
    except UnicodeDecodeError:
        return
    for number, name in enumerate(names):
        yield f"get_tensor {name}", partial(reader.get_tensor, name)
        yield f"has_tensor {name}", partial(_ask_for, reader, name)
        if number in (0, len(names) // 2, len(names) - 1):
            yield f"get_tensor {name} as bytes", partial(reader.get_tensor, name.encode())
            yield f"get_tensor {name}:0", partial(reader.get_tensor, f"{name}:0")
            yield f"load_variable {name}", partial(train.load_variable, prefix, name)
            yield f"load_variable {name}:0", partial(train.load_variable, prefix, f"{name}:0")
            yield f"load_variable {name} v1", partial(v1.train.load_variable, prefix, name)
            yield f"load_checkpoint {name}", partial(_load, train, prefix, name)
            yield f"load_checkpoint {name} v1", partial(_load, v1.train, prefix, name)
    yield "load_variable elsewhere", lambda: train.load_variable(prefix, "no such tensor")
    yield "load_variable of bytes", lambda: train.load_variable(prefix, b"name")


def _ask_for(reader: Any, name: str) -> list[bool]:
    return [reader.has_tensor(each) for each in (name, f"{name}:0")]


def _load(train: Any, prefix: str, name: str) -> Any:
    return train.load_checkpoint(prefix).get_tensor(name)


def _stat(found: Any) -> list[Any]:
    return [found.length, found.mtime_nsec, found.is_directory]


def answer_all(tf: Any, prefix: str) -> Answers:
    """Return all answers about a checkpoint."""
    return {question: answer(put) for question, put in iter_questions(tf, prefix)}


def iter_answers(tf: Any, prefixes: Sequence[str]) -> Iterator[Answers]:
    """Yield the answers about each checkpoint, from processes of which one that dies takes one checkpoint with it."""
    rest = list(prefixes)
    while rest:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _answer_in_child(tf, rest, writing)
        os.close(writing)
        with os.fdopen(reading) as stream:
            lines = [line for line in stream if line.endswith("\n")]
        os.waitpid(child, 0)
        yield from map(json.loads, lines)
        if len(lines) < len(rest):
            yield {"died": None}
        rest = rest[len(lines) + 1 :]


def _answer_in_child(tf: Any, prefixes: Sequence[str], writing: int) -> None:
    with os.fdopen(writing, "w") as stream:
        for prefix in prefixes:
            stream.write(json.dumps(answer_all(tf, prefix)) + "\n")
            stream.flush()
    os._exit(0)


def import_world(who: Who) -> Any:
    """Return TensorFlow, or its stand-in, in which nothing of TensorFlow is imported."""
    if who == "theirs":
        import tensorflow

        return tensorflow
    from tfbundle.compat import tf

    return tf


def main() -> None:
    """Answer about the checkpoints that a file lists, and print what was found as one line of JSON."""
    import resource

    who, work = sys.argv[1:]
    tf = import_world("theirs" if who == "theirs" else "ours")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    found = list(iter_answers(tf, json.loads(Path(work).read_text())))
    if who == "ours" and any(name.split(".")[0] == "tensorflow" for name in sys.modules):
        raise SystemExit("TensorFlow was imported")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
