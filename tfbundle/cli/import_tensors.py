"""``tfbundle import FILE DST``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.naming import NAMING_HELP, add_naming_options, read_naming
from tfbundle.cli.options import (
    add_layout_options,
    add_output_options,
    add_write_options,
    read_layout,
    read_run_options,
)
from tfbundle.cli.output import escape, format_nbytes, plural, print_json
from tfbundle.cli.treatment import parse_rule

if TYPE_CHECKING:
    from tfbundle.exporters.import_tensors import ImportReport

_DESCRIPTION = """\
Write a checkpoint of the tensors in a safetensors file (or several, given by their index), a
.npz archive, a .npy file, or a directory of these, bit for bit. A graph restores it by the
tensors' names, as those of TF1 are."""

_EPILOG = f"""\
A pattern PAT is a shell glob in which * also matches /, or a regular expression after `re:`.

{NAMING_HELP}

examples:
  tfbundle import model.safetensors model.ckpt
  tfbundle import model.safetensors.index.json checkpoints/ --max-shard-size 2GB
  tfbundle import weights.npz model.ckpt --rename 're:\\.=/'
  tfbundle import weights.npz model.ckpt --as '*=bfloat16'"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "import",
        parents=[common],
        help="make a checkpoint of safetensors, .npz or .npy files",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="FILE", help="a safetensors file or index, a .npz, a .npy, or a directory")
    parser.add_argument("target", metavar="DST", help="where the checkpoint goes: a prefix, or a directory")
    which = parser.add_argument_group("which tensors")
    which.add_argument("--drop", metavar="PAT", action="append", default=[], help="leave these out (repeatable)")
    which.add_argument("--select", metavar="PAT", action="append", default=[], help="leave out all others (repeatable)")
    which.add_argument(
        "--skip-unsupported", action="store_true", help="leave out what cannot be a tensor, such as pickled objects"
    )
    which.add_argument(
        "--as",
        dest="dtypes",
        metavar="PAT=DTYPE",
        action="append",
        default=[],
        type=parse_rule,
        help="take the bits of these for another dtype of the same width, such as bfloat16 (repeatable)",
    )
    add_naming_options(parser.add_argument_group("under which names"))
    how = parser.add_argument_group("how")
    add_layout_options(how)
    add_write_options(how)
    add_output_options(parser.add_argument_group("output"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Import, and print the report."""
    from tfbundle.choosing.select import Selection
    from tfbundle.exporters.import_tensors import import_tensors
    from tfbundle.exporters.incoming import ImportOptions

    report = import_tensors(
        options.source,
        options.target,
        selection=Selection(drop=tuple(options.drop), select=tuple(options.select)),
        naming=read_naming(options),
        layout=read_layout(options),
        files=ImportOptions(options.skip_unsupported, tuple(options.dtypes)),
        options=read_run_options(options),
    )
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_summary(report)
    return 0


def print_summary(report: ImportReport) -> None:
    """Print a report for people."""
    verb = "would write" if report.dry_run else "wrote"
    kept = [tensor for tensor in report.tensors if tensor.target_name]
    size = f"{plural(len(kept), 'tensor')}, {format_nbytes(report.nbytes)} in {plural(report.num_shards, 'shard')}"
    print(f"{verb} {escape(report.target)}: {size}")
    renamed = sum(tensor.target_name != tensor.name for tensor in kept)
    if renamed:
        print(f"  renamed  {plural(renamed, 'tensor')}")
    reasons: dict[str, int] = {}
    for tensor in report.tensors:
        if tensor.reason:
            reasons[tensor.reason] = reasons.get(tensor.reason, 0) + 1
    if reasons:
        why = ", ".join(f"{escape(reason)} ({count})" for reason, count in reasons.items())
        print(f"  left out {plural(sum(reasons.values()), 'array')}: {why}")
    for note in report.notes:
        print(f"note: {escape(note)}")
