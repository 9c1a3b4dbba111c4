"""What the README does with a bucket, done with one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.remote.stores import ObjectStore
from tests.support.processes import TOP, environment


def test_examples(store: ObjectStore, tmp_path: Path) -> None:
    section = (TOP / "README.md").read_text().partition("### Buckets and web servers\n")[2].partition("\n### ")[0]
    (block,) = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    script = tmp_path / "tfbundle"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tfbundle "$@"\n')
    script.chmod(0o755)
    variables = environment(**store.variables)
    variables["PATH"] = f"{tmp_path}:{variables['PATH']}"
    subprocess.run(["tfbundle", "demo", "demo"], cwd=tmp_path, env=variables, check=True, capture_output=True)
    client = store.client()
    client.create_bucket(Bucket="models")
    for path in (tmp_path / "demo" / "float32").glob("model.ckpt-1000.*"):
        client.upload_file(str(path), "models", path.name)
    for line in block.splitlines():
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), line
    found = client.get_object(Bucket="models", Key="half/model.ckpt-1000.index")["Body"].read()
    assert found == (tmp_path / "half" / "model.ckpt-1000.index").read_bytes()
