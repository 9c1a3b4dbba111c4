"""``tfbundle halve SRC DST``."""

from __future__ import annotations

import argparse
from typing import Any

from tfbundle.cli.conversion import add_conversion_options, convert
from tfbundle.cli.naming import NAMING_HELP
from tfbundle.cli.selection import PATTERN_HELP

_DESCRIPTION = """\
Write a copy of a checkpoint in which float32 tensors are float16. Everything else stays as it
is, byte for byte; every checksum is verified on the way; nothing is left behind if something
fails.

The graph that goes with it is rewritten, so that it restores what is stored now and its variables
stay float32: a SavedModel becomes a SavedModel, a .meta file beside SRC one beside DST, and the
constants of a frozen graph (FILE.pb) are stored as float16. Any other graph needs variables that
are float16: TensorFlow never casts on restore."""

_EPILOG = f"""\
{PATTERN_HELP}

{NAMING_HELP}

examples:
  tfbundle halve model.ckpt-1000 half/model.ckpt-1000
  tfbundle halve saved_model/ half/ --optimizer drop --keep norm
  tfbundle halve model.ckpt-1000 half/ --like graph.meta
  tfbundle halve frozen.pb half.pb
  tfbundle halve model.ckpt-1000 half/ \\
      --select 'bert/*' --strip-prefix bert/ --keep norm
  tfbundle halve model.ckpt-1000 half/ \\
      --rename 're:/ExponentialMovingAverage$=' --on-collision replace
  tfbundle halve model.ckpt-1000 half/ --on-overflow clamp --dry-run"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "halve",
        parents=[common],
        help="cast float32 tensors to float16",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to convert")
    parser.add_argument("target", metavar="DST", help="where the result goes: a prefix, or a directory")
    add_conversion_options(parser)
    graph = parser.add_argument_group("with its graph")
    graph.add_argument(
        "--graph",
        choices=("rewrite", "leave"),
        default="rewrite",
        help="what to do with the graph that goes with SRC, a .meta file or a SavedModel's: rewrite it so that it "
        "restores what is stored now; or leave it, and convert the checkpoint alone",
    )
    graph.add_argument(
        "--strip-training",
        action="store_true",
        help="take out of the graph, and of the checkpoint, what --outputs do not need; for .meta files and "
        "SavedModels of TF1",
    )
    graph.add_argument(
        "--outputs",
        metavar="NAME",
        action="append",
        default=[],
        help="a node that --strip-training leaves, with all it needs (repeatable; of a SavedModel, by default the "
        "outputs of its signatures)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Halve, and print the report."""
    from tfbundle.conversion.halve import halve

    return convert(halve, options)
