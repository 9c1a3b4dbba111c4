"""``tfbundle cast SRC DST --to DTYPE``."""

from __future__ import annotations

import argparse
from typing import Any

from tfbundle.cli.conversion import add_conversion_options, convert
from tfbundle.cli.naming import NAMING_HELP
from tfbundle.cli.selection import PATTERN_HELP
from tfbundle.cli.treatment import add_target_options

_DESCRIPTION = """\
Write a copy of a checkpoint in which tensors have another dtype. Everything else stays as it is,
byte for byte; every checksum is verified on the way; nothing is left behind if something fails.

Floats become floats (float16, bfloat16, float32, float64), integers become integers (int8 to
int64, uint8 to uint64); values are those of tf.cast.

TensorFlow never casts on restore: the variables that read the result must have its dtypes."""

_EPILOG = f"""\
{PATTERN_HELP}

{NAMING_HELP}

examples:
  tfbundle cast half.ckpt single/ --to float32
  tfbundle cast model.ckpt-1000 brain/ --to bfloat16 --rule '*/moving_*=float32'
  tfbundle cast model.ckpt-1000 fixed/ --to int64 --only global_step"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "cast",
        parents=[common],
        usage="%(prog)s [OPTION ...] --to DTYPE SRC DST\n%(prog)s [OPTION ...] --like TEMPLATE SRC DST",
        help="cast tensors to another dtype",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to convert")
    parser.add_argument("target", metavar="DST", help="where the result goes: a prefix, or a directory")
    add_target_options(parser.add_argument_group("dtypes"))
    add_conversion_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Cast, and print the report."""
    from tfbundle.conversion.cast import cast

    if not (options.to or options.like):
        raise ValueError("--to is missing, the dtype to cast to, such as bfloat16")
    return convert(cast, options)
