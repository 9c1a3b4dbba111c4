"""``tfbundle set DST NAME FILE.npy``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.options import add_output_options
from tfbundle.cli.output import escape, format_nbytes, plural, print_json

if TYPE_CHECKING:
    from tfbundle.blending.fit import Allow
    from tfbundle.blending.replace import ReplaceReport

_DESCRIPTION = """\
Replace one tensor of a checkpoint by the array in a .npy file. Everything else stays as it is,
byte for byte.

The checkpoint gets one more data file, with the new values; the others only get new names. At
any moment it is the old checkpoint or the new one. The old values still take their room in the
old data file: --output leaves DST alone and writes a compact copy elsewhere."""

_EPILOG = """\
The array must have the tensor's dtype and shape. Where numpy lacks the dtype, it has the bit
patterns, such as uint16 for bfloat16. For string tensors it has dtype S or U. A TF2 key may be
given without its closing /.ATTRIBUTES/VARIABLE_VALUE.

examples:
  tfbundle set model.ckpt-1000 dense/bias bias.npy
  tfbundle set model.ckpt-1000 dense/bias bias.npy --output changed/
  tfbundle set model.ckpt-1000 embedding table.npy --allow-shape"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "set",
        parents=[common],
        help="replace one tensor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("target", metavar="DST", help="the checkpoint to change")
    parser.add_argument("name", metavar="NAME", help="the tensor's name; a closing :0 is ignored")
    parser.add_argument("file", metavar="FILE.npy", help="the new values, as numpy.save writes them")
    parser.add_argument("--output", metavar="DST2", help="leave DST as it is, and write a compact copy here")
    parser.add_argument("--force", action="store_true", help="replace a bundle that is at DST2 already")
    for option, value, text in (
        ("--allow-dtype", "dtype", "let the tensor take the array's dtype"),
        ("--allow-shape", "shape", "let the tensor take the array's shape"),
        ("--add", "new", "add the tensor if there is none of that name"),
    ):
        parser.add_argument(option, dest="allow", action="append_const", const=value, default=[], help=text)
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replace the tensor, and say so."""
    from tfbundle.blending.npy import read_npy
    from tfbundle.blending.replace import replace_tensor
    from tfbundle.storage.anywhere import Anywhere

    if options.force and options.output is None:
        raise ValueError("--force is for a bundle at --output; DST itself is changed without it")
    allow: list[Allow] = options.allow
    storage = Anywhere()
    report = replace_tensor(
        options.target,
        options.name,
        read_npy(storage.admit(options.file), storage),
        allow=allow,
        output=options.output,
        if_exists="replace" if options.force else "error",
    )
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_summary(report)
    return 0


def print_summary(report: ReplaceReport) -> None:
    """Print a report for people."""
    new = _format_kind(report.dtype, report.shape)
    old = _format_kind(report.old_dtype, report.old_shape) if report.old_dtype else "new"
    change = new if old == new else f"{new}, was {old}" if report.old_dtype else f"{new}, new"
    size = f"{plural(report.num_shards, 'shard')}"
    unused = f", {format_nbytes(report.unused_nbytes)} in them not used any more" if report.unused_nbytes else ""
    print(f"{escape(report.target)}: set {escape(report.name)} ({change}); {size}{unused}")
    for note in report.notes:
        print(f"note: {escape(note)}")


def _format_kind(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} [{','.join(map(str, shape))}]"
