"""Compile ``proto/*.proto`` into the descriptor set that ``tfbundle.pb`` loads.

Run ``python -m tests.make_descriptors`` from the top of the repository; needs the ``test`` extra.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TARGET = TOP / "tfbundle" / "pb" / "descriptors.binpb"


def compile_descriptors() -> bytes:
    """Return the FileDescriptorSet of all proto files, serialized."""
    from grpc_tools import protoc

    sources = sorted(path.name for path in (TOP / "proto").glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "descriptors.binpb"
        arguments = ["protoc", f"--proto_path={TOP / 'proto'}", f"--descriptor_set_out={output}", *sources]
        if status := protoc.main(arguments):
            sys.exit(status)
        return output.read_bytes()


if __name__ == "__main__":
    TARGET.write_bytes(compile_descriptors())
