"""A converter writes the same bytes under ``run`` as under TensorFlow, for every checkpoint of the corpus.

Like many that are about, it writes tensors in whatever order the reader's dictionary has. Only what TensorFlow's
reader cannot read is written under ``run`` alone.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.support.corpus import iter_items
from tests.support.processes import environment
from tests.support.requirements import corpus_root, tensorflow

CONVERTER = """
import json
import pickle
import struct
import sys

import numpy as np
import tensorflow as tf

for number, prefix in enumerate(sys.argv[1:]):
    try:
        reader = tf.train.load_checkpoint(prefix)
        tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, ValueError) as error:
        print(number, type(error).__name__)
        continue
    np.savez(f"{number}.npz", **{str(row): value for row, value in enumerate(tensors.values())})
    with open(f"{number}.pickle", "wb") as file:
        pickle.dump(tensors, file)
    with open(f"{number}.json", "w") as file:
        kinds = {name: str(dtype) for name, dtype in reader.get_variable_to_dtype_map().items()}
        json.dump([kinds, reader.get_variable_to_shape_map(), tf.train.list_variables(prefix)], file)
    with open(f"{number}.bin", "wb") as file:
        for name, shape in tf.train.list_variables(prefix)[:20]:
            value = tf.train.load_variable(prefix, name)
            print(number, "writing", name, shape, type(value))
            file.write(struct.pack("<i", len(shape)) + name.encode())
            file.write(value if isinstance(value, bytes) else value.tobytes() if value.dtype != object else b"")
"""


def convert(command: list[str], folder: Path, prefixes: list[str]) -> tuple[bytes, dict[str, str]]:
    """Return what the converter printed, and the digests of its files."""
    folder.mkdir()
    (folder / "convert.py").write_text(CONVERTER)
    variables = environment(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    words = [*command, "convert.py", *prefixes]
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_bytes_as_under_tensorflow(tmp_path: Path) -> None:
    root = corpus_root()
    tensorflow()
    prefixes = [item.prefix for item in iter_items(root)]
    theirs = convert([sys.executable], tmp_path / "theirs", prefixes)
    ours = convert([sys.executable, "-m", "tfbundle", "run", "--hide-tensorflow"], tmp_path / "ours", prefixes)
    assert theirs[1].items() <= ours[1].items()
    more = {name.split(".")[0] for name in ours[1].keys() - theirs[1].keys()}
    told = {words[0]: words[1] for line in theirs[0].splitlines() if (words := line.decode().split())[0] in more}
    assert set(told.values()) == {"UnimplementedError", "ValueError"}  # what only the stand-in reads: the parity table
    assert len(more) == len(told) == 13
    assert _lines(ours[0], more) == _lines(theirs[0], more)
    assert len(theirs[1]) > 400


def _lines(output: bytes, left_out: set[str]) -> list[bytes]:
    return [line for line in output.splitlines() if line.split()[0].decode() not in left_out]
