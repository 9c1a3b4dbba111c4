"""What the README does with graphs, done with some of the corpus."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.processes import TOP, environment
from tests.support.requirements import corpus_root


def test_examples_with_graphs(tmp_path: Path) -> None:
    section = (TOP / "README.md").read_text().partition("**The graph beside the weights.**")[2]
    block = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0]
    corpus = corpus_root() / "synth"
    shutil.copytree(corpus / "keras3_sm_lstm_gru" / "sm", tmp_path / "saved_model")
    for path in (corpus / "v1graph_convbn_infer_and_train").iterdir():
        if path.name.startswith(("model", "frozen")):
            shutil.copy(path, tmp_path)
    script = tmp_path / "tfbundle"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tfbundle "$@"\n')
    script.chmod(0o755)
    examples = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    for example in examples:
        command, _, expected = example.partition("\n")
        done = subprocess.run(
            command.replace("tfbundle", "./tfbundle", 1),
            shell=True,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == (expected, "")
    assert len(examples) == 3
