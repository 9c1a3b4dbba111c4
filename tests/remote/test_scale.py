"""A checkpoint of 1 GiB from bucket to bucket: memory of the client, and what the server was asked for.

``python -m pytest -m campaign tests/remote/test_scale.py -s`` prints the figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.remote.stores import BUCKET, running_store
from tests.support.processes import environment

MIB = 1 << 20
MOST_RSS_MIB = 200
"""What s3fs and numpy take (about 60 MiB), and a few pieces of 16 MiB."""

_RUN = """
import json, sys
import tfbundle
import fsspec, s3fs, numpy
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))
before = peak()
tfbundle.halve(sys.argv[1], sys.argv[2])
print(json.dumps([before, peak()]))
"""


@pytest.mark.parametrize("nbytes", [48 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.campaign)])
def test_halving_from_bucket_to_bucket(nbytes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    sizes = [nbytes // 2, nbytes // 4, nbytes // 8, *[nbytes // 64] * 8]
    prefix = str(tmp_path / "model")
    with tfbundle.create(prefix) as writer:
        for number, size in enumerate(sizes):
            writer.add(f"layer{number}/kernel", rng.random(size // 4, np.float32))
        writer.add("step", np.int64(7))
    with running_store() as store:
        for path in tmp_path.iterdir():
            store.client().upload_file(str(path), BUCKET, f"source/{path.name}")
        store.reset()
        done = subprocess.run(
            [sys.executable, "-c", _RUN, f"s3://{BUCKET}/source/model", f"s3://{BUCKET}/target/"],
            env=environment(**store.variables),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        before, peak = json.loads(done.stdout)
        requests = store.requests()
        tfbundle.halve(prefix, str(tmp_path / "half"))
        for name in ("index", "data-00000-of-00001"):
            expected = zlib.crc32((tmp_path / f"half.{name}").read_bytes())
            assert zlib.crc32(store.get(f"target/model.{name}")) == expected
    files = 5  # two to read, two to write, and the checkpoint file
    moved = sum(each.received + each.sent for each in requests)
    payload = [each for each in requests if ".data-" in each.path]
    print(f"{nbytes // MIB} MiB: {len(requests)} requests, {len(payload)} for payload, {moved / MIB:.1f} MiB moved")
    print(f"peak {peak} MiB, {before} MiB of it before the first byte")
    assert len(payload) <= (nbytes + nbytes // 2) / (8 * MIB) + 2 * 2
    if nbytes > 256 * MIB:
        assert len(requests) <= (nbytes + nbytes // 2) / (8 * MIB) + files
    assert moved < 1.01 * (nbytes + nbytes // 2) + MIB / 8
    assert peak < MOST_RSS_MIB
