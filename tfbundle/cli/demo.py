"""``tfbundle demo``: the whole way once, on a checkpoint made for it."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape, print_table
from tfbundle.cli.status import DAMAGED, DONE

if TYPE_CHECKING:
    import numpy as np

    from tfbundle.bundle.target import IfExists

_DESCRIPTION = """\
Make a small float32 checkpoint as a training run would leave it, halve it, verify the result and
show both. Needs no input; everything goes to a temporary directory that is removed again, or to
DIR, where it stays."""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "demo",
        parents=[common],
        help="make, halve and verify a small checkpoint",
        description=_DESCRIPTION,
        epilog="examples:\n  tfbundle demo\n  tfbundle demo checkpoints/",
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", help="where the checkpoints go, and stay")
    parser.add_argument("--force", action="store_true", help="replace checkpoints of an earlier demo in DIR")
    parser.add_argument("--json", action="store_true", help="print reports as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make, halve, verify, show."""
    from tfbundle.audit.verify import verify
    from tfbundle.bundle.opening import open_bundle
    from tfbundle.bundle.writer import save
    from tfbundle.cli.output import print_json
    from tfbundle.cli.report import print_summary
    from tfbundle.cli.verify import print_verdict
    from tfbundle.conversion.halve import halve
    from tfbundle.streaming.run import RunOptions

    if_exists: IfExists = "replace" if options.force else "error"
    with _directory(options.directory) as directory:
        source = os.path.join(directory, "float32", "model.ckpt-1000")
        target = os.path.join(directory, "float16", "model.ckpt-1000")
        save(source, _tensors(), if_exists=if_exists)
        report = halve(source, target, options=RunOptions(if_exists))
        verdict = verify(target)
        if options.json:
            print_json({"halve": report.to_dict(), "verify": verdict.to_dict()})
            return DONE if verdict.ok else DAMAGED
        print(f"made {escape(source)}, as a training run with Adam would leave it, and halved it:\n")
        print_summary(report)
        print("\nbefore and after, with the first value of each tensor:\n")
        with open_bundle(source) as before, open_bundle(target) as after:
            rows = [("before", "after", "name", "first value before", "first value after")]
            rows += [
                (
                    before.entries[name].dtype,
                    after.entries[name].dtype,
                    name,
                    str(before[name].reshape(-1)[0]),
                    str(after[name].reshape(-1)[0]),
                )
                for name in before
            ]
        print_table(rows)
        print()
        print_verdict(verdict)
    if options.directory is None:
        print("The files are gone again; `tfbundle demo DIR` keeps them.")
    return DONE if verdict.ok else DAMAGED


@contextlib.contextmanager
def _directory(given: str | None) -> Iterator[str]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="tfbundle-demo-") as directory:
        yield directory


def _tensors() -> dict[str, np.ndarray[Any, Any]]:
    """Return a small convolutional network after a thousand steps with Adam, the same every time."""
    import numpy as np

    random = np.random.default_rng(2017)
    shapes = {
        "conv1/weights": (3, 3, 3, 32),
        "conv1/biases": (32,),
        "conv2/weights": (3, 3, 32, 64),
        "conv2/biases": (64,),
        "dense/kernel": (1024, 128),
        "dense/bias": (128,),
    }
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for name, shape in shapes.items():
        tensors[name] = random.normal(0, 0.05, shape).astype(np.float32)
        tensors[f"{name}/Adam"] = random.normal(0, 1e-4, shape).astype(np.float32)
        tensors[f"{name}/Adam_1"] = np.square(random.normal(0, 1e-4, shape)).astype(np.float32)
    tensors["beta1_power"] = np.asarray(0.9**1000, np.float32)
    tensors["beta2_power"] = np.asarray(0.999**1000, np.float32)
    tensors["global_step"] = np.asarray(1000, np.int64)
    tensors["labels"] = np.array([b"cat", b"dog", b"bird"], object)
    return tensors
