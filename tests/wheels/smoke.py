"""Does what users do, with the ``tfbundle`` that is installed and without any other part of the repository.

    python smoke.py

Run it in an empty directory. Prints what it ran on and how long an import took; leaves with a traceback if anything
is not as it should be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

WARNINGS = "error,ignore:Type google._upb"  # which protobuf 5.26 causes on Python 3.12

TRIED: set[str] = set()
"""Verbs that have been run."""


def main() -> None:
    """Try every verb, and what they have in Python."""
    began = time.perf_counter()
    import tfbundle

    seconds = time.perf_counter() - began
    home = os.path.realpath(os.path.dirname(tfbundle.__file__))
    assert home.startswith(os.path.realpath(sys.prefix)), f"{home} is not what was installed in {sys.prefix}"
    assert "numpy" not in sys.modules
    assert seconds < 1, f"import tfbundle takes {seconds:.3f} s"
    assert os.path.exists(os.path.join(home, "py.typed"))
    assert not os.path.exists(os.path.join(os.path.dirname(home), "tests"))
    print(run("--version").strip().replace("\n", ": "), f"; import {1000 * seconds:.1f} ms")

    try_demo()
    try_every_verb()
    try_python()
    try_messages()
    assert "tensorflow" not in sys.modules


def run(*words: str, status: int = 0) -> str:
    """Run the command that was installed, with warnings as errors; return what it printed."""
    TRIED.add(words[0])
    command = [os.path.join(os.path.dirname(sys.executable), "tfbundle"), *words]
    environment = {**os.environ, "PYTHONWARNINGS": WARNINGS, "PYTHONNOUSERSITE": "1"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (found.returncode, found.stderr) == (status, ""), (command, found.returncode, found.stdout, found.stderr)
    return found.stdout


def try_demo() -> None:
    """Run the first command that anybody runs."""
    text = run("demo")
    assert "sound: 22 tensors" in text, text
    assert run("demo", "demo")
    assert sorted(os.listdir("demo")) == ["float16", "float32"]


def try_every_verb() -> None:
    """Run each on the checkpoints of the demo, and compare with numpy what is easily compared."""
    import numpy as np

    run("halve", "demo/float32", "half/", "--optimizer", "cast", "--report", "page.html")
    with open("page.html", encoding="utf-8") as page:
        assert "conv1/weights" in page.read()
    before, after = json.loads(run("ls", "demo/float32", "--json")), json.loads(run("ls", "half", "--json"))
    kinds = {tensor["name"]: tensor["dtype"] for tensor in after["tensors"]}
    assert {tensor["name"] for tensor in before["tensors"]} == set(kinds)
    assert (kinds["conv1/weights"], kinds["global_step"], kinds["labels"]) == ("float16", "int64", "string")
    run("verify", "half")
    shown = json.loads(run("show", "half", "conv1/biases", "--json"))["value"]
    full: list[float] = json.loads(run("show", "demo/float32", "conv1/biases", "--json"))["value"]
    assert shown == np.array(full, np.float32).astype(np.float16).tolist()
    run("cast", "demo/float32", "brain/", "--to", "bfloat16")
    run("cast", "half", "single/", "--to", "float32")
    run("diff", "half", "single", "--ignore-dtype")
    run("diff", "demo/float32", "single", status=1)
    run("stats", "demo/float32", "--jobs", "2")
    np.save("new.npy", np.arange(32, dtype=np.float32))
    run("set", "demo/float32", "conv1/biases", "new.npy", "--output", "changed/")
    run("average", "demo/float32", "changed", "mean/")
    run("halve", "demo/float32", "left", "--select", "conv1/*")
    run("halve", "demo/float32", "right", "--select", "conv2/*")
    run("merge", "left", "right", "both")
    run("salvage", "both", "saved")
    lines = run("--help").partition("\nverbs:\n")[2].partition("\n\n")[0].split("\n")
    verbs = {line.split()[0] for line in lines if line.startswith("    ") and line[4] != " "}
    assert len(verbs) > 10
    try_completion()
    for verb in verbs - TRIED:
        assert f"tfbundle {verb}" in run(verb, "--help")


def try_completion() -> None:
    """Make the scripts, where the package that makes them is installed."""
    from importlib.util import find_spec

    if find_spec("shtab"):
        for shell in ("bash", "zsh", "fish"):
            assert "max-shard-size" in run("completion", shell)


def try_python() -> None:
    """Write, halve and read in this process, with warnings as errors."""
    import warnings

    import numpy as np

    import tfbundle

    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Type google._upb")
    random = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        "w": random.normal(size=(300, 1001)).astype(np.float32),
        "small": np.array([1e-5, -6e-8, 1e-8, np.inf, np.nan, 65504, 0, -0.0], np.float32),
        "step": np.int64(7),
        "text": np.array([b"a", b"", b"\xff"], object),
        "flags": np.array([[True], [False]]),
        "z": np.array([1 + 2j], np.complex64),
    }
    tfbundle.save("python/model", tensors)
    report = tfbundle.halve("python/model", "python16/model", policy=tfbundle.CastPolicy(on_overflow="clamp"))
    assert report.totals.overflow == 0
    loaded = tfbundle.load("python16")
    for name, value in tensors.items():
        expected = np.asarray(value)
        if expected.dtype == np.float32:
            with np.errstate(all="ignore"):
                expected = expected.astype(np.float16)
        assert loaded[name].dtype == expected.dtype
        np.testing.assert_array_equal(loaded[name], expected)
        if expected.dtype == np.float16:
            assert (np.signbit(loaded[name]) == np.signbit(expected)).all()
    assert tfbundle.verify("python16/model").ok
    with tfbundle.create("bits") as writer:
        writer.add("b", np.arange(4, dtype=np.uint16), dtype="bfloat16")
    with tfbundle.open("bits") as bundle:
        assert np.asarray(bundle["b"]).view(np.uint16).tolist() == [0, 1, 2, 3]


def try_messages() -> None:
    """Let protobuf read and write an object graph, a graph and a `checkpoint` file."""
    import numpy as np

    import tfbundle
    from tfbundle.pb import message_class

    key = "net/w/.ATTRIBUTES/VARIABLE_VALUE"
    graph = message_class("TrackableObjectGraph")()
    graph.nodes.add().children.add(node_id=1, local_name="net")
    graph.nodes.add().children.add(node_id=2, local_name="w")
    graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name="w", checkpoint_key=key)
    data = np.array(graph.SerializeToString(), object)
    tfbundle.save("tf2/ckpt-1", {key: np.ones(3, np.float32), "_CHECKPOINTABLE_OBJECT_GRAPH": data})
    assert "float32 [3]" in run("ls", "tf2/ckpt-1", "--tree")
    run("halve", "tf2/ckpt-1", "tf2half/", "--rename", "net/=model/")
    assert "model/w" in run("ls", "tf2half")
    state = tfbundle.get_checkpoint_state("tf2half")
    assert state is not None
    assert os.path.basename(state.latest) == "ckpt-1"


if __name__ == "__main__":
    main()
