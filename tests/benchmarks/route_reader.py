"""A contender: tensorflow-checkpoint-reader, which reads checkpoints without TensorFlow but writes none.

Runs as ``python -m tests.benchmarks.route_reader SOURCE TARGET``. The halved values go to one file without an index; no
checksum is looked at. Where an index has more than one block, version 0.2.2 lists the first only: the number of tensors
goes to standard output.
"""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np


def main(source: str, target: str) -> None:
    """Cast every tensor that is found."""
    reader = import_module("tensorflow_checkpoint_reader.py_checkpoint_reader").NewCheckpointReader(source)
    names = list(reader.get_variable_to_shape_map())
    with open(target, "wb") as file:
        for name in names:
            value = reader.get_tensor(name)
            if value.dtype == np.float32:
                value = value.astype(np.float16)
            file.write(value.tobytes())
    print(len(names))


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main(sys.argv[1], sys.argv[2])
