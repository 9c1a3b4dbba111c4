"""A contender: a checkpoint to a safetensors file with TensorFlow and the safetensors library, all of it in memory.

Runs as ``python -m tests.benchmarks.route_safetensors SOURCE TARGET``.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    import tensorflow
    from safetensors.numpy import save_file

    reader = tensorflow.train.load_checkpoint(sys.argv[1])
    save_file(
        {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}, f"{sys.argv[2]}.safetensors"
    )
