"""Running SavedModels by their signatures, with each of TensorFlow's loaders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.processes import environment
from tests.support.requirements import tensorflow_module

Values = dict[str, Any]
Answers = dict[tuple[Any, ...], Values]
"""What each signature gives, by loader or tags and by name."""

_NUM_ROWS = 3


def import_keras2() -> bool:
    """Let Keras 2 know its objects where it is installed; tell whether it is."""
    try:
        import tf_keras  # noqa: F401
    except ImportError:
        return False
    return True


def run_cli(path: Path, inputs: dict[str, Any], folder: Path) -> Values:
    """Return what ``saved_model_cli run`` makes of the default signature; it runs in ``folder``."""
    folder.mkdir()
    for key, values in inputs.items():
        np.save(folder / f"{key}.npy", values)
    pairs = ";".join(f"{key}={folder / key}.npy" for key in inputs)
    command = f"run --dir {path} --tag_set serve --signature_def serving_default --outdir {folder / 'out'} --inputs"
    done = subprocess.run(
        [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *command.split(), pairs],
        env=environment(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {file.stem: np.load(file) for file in (folder / "out").iterdir()}


def read_saved_model(path: Path | str) -> Any:
    """Return the message in a directory."""
    message = tensorflow_module("core.protobuf.saved_model_pb2").SavedModel()
    message.ParseFromString((Path(path) / "saved_model.pb").read_bytes())
    return message


def make_input(dtype: Any, sizes: list[int | None]) -> Any:
    """Return numbers for an input, the same every time; None for what cannot be made up, as text."""
    shape = [_NUM_ROWS if size in (None, -1) else size for size in sizes]
    random = np.random.default_rng(5)
    if dtype.is_floating:
        return random.random(shape).astype(dtype.as_numpy_dtype)
    return random.integers(0, 3, shape).astype(dtype.as_numpy_dtype) if dtype.is_integer else None


def _iter_graphs(tf: Any, path: Path) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield tags, session and definition of each graph, restored by the loader of TF1."""
    for graph in read_saved_model(path).meta_graphs:
        tags = tuple(graph.meta_info_def.tags)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            yield tags, session, tf.compat.v1.saved_model.load(session, list(tags), str(path))


def run_v1(tf: Any, path: Path) -> Answers:
    """Return what the signatures give that the loader of TF1 finds, inputs being numbers."""
    found: Answers = {}
    for tags, session, graph in _iter_graphs(tf, path):
        for name, signature in graph.signature_def.items():
            feeds = {
                info.name: make_input(tf.dtypes.as_dtype(info.dtype), [dim.size for dim in info.tensor_shape.dim])
                for info in signature.inputs.values()
            }
            fetches = {key: info.name for key, info in signature.outputs.items() if info.name}
            if fetches and all(value is not None for value in feeds.values()):
                found[tags, name] = _try_run(tf, session, fetches, feeds)
    return found


def _try_run(tf: Any, session: Any, fetches: dict[str, str], feeds: Values) -> Values:
    try:
        values: Values = session.run(fetches, feeds)
    except (
        tf.errors.OpError,
        TypeError,
        ValueError,
    ) as error:  # of models that need more, or other, than made-up numbers
        return {"error": type(error).__name__}
    return values


def run_v2(tf: Any, path: Path) -> Answers:
    """Return what the signatures give that ``tf.saved_model.load`` finds, inputs being numbers."""
    model = tf.saved_model.load(str(path))
    found: Answers = {}
    for name, function in model.signatures.items():
        specs = function.structured_input_signature[1]
        inputs = {key: make_input(spec.dtype, _sizes(spec)) for key, spec in specs.items()}
        if all(value is not None for value in inputs.values()):
            given = {key: tf.constant(value) for key, value in inputs.items()}
            try:
                found["v2", name] = {key: value.numpy() for key, value in function(**given).items()}
            except tf.errors.OpError as error:
                found["v2", name] = {"error": type(error).__name__}
    return found


def _sizes(spec: Any) -> list[int | None]:
    return [] if spec.shape.rank is None else list(spec.shape.as_list())


def largest_difference(left: Answers, right: Answers) -> float:
    """Return the largest difference between two sets of answers, relative to values above one.

    Raises:
        AssertionError: they are not of the same signatures, or differ in what are no floats.
    """
    assert left.keys() == right.keys()
    largest = 0.0
    for key, values in left.items():
        assert values.keys() == right[key].keys(), (key, values, right[key])
        for name, value in values.items():
            other = right[key][name]
            if isinstance(value, str) or np.asarray(value).dtype.kind != "f":
                assert np.array_equal(value, other), (key, name)
            elif np.size(value):
                assert np.array_equal(np.isfinite(value), np.isfinite(other))
                scale = max(1.0, float(np.nanmax(np.abs(np.where(np.isfinite(value), value, 0)))))
                with np.errstate(invalid="ignore"):
                    error = np.abs(np.asarray(value, np.float64) - other) / scale
                largest = max(largest, float(np.nanmax(np.where(np.isfinite(value), error, 0))))
    return largest
