"""``tfbundle export SRC FILE.safetensors|FILE.npz|DIR/``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.naming import NAMING_HELP, add_naming_options, parse_pair, read_naming
from tfbundle.cli.options import add_jobs_option, add_output_options, parse_given, read_run_options
from tfbundle.cli.output import print_json
from tfbundle.cli.report import print_summary
from tfbundle.cli.selection import PATTERN_HELP, add_choice_options, read_selection
from tfbundle.cli.treatment import add_overflow_option, add_rule_option

if TYPE_CHECKING:
    from tfbundle.casting.policy import CastPolicy

_DESCRIPTION = """\
Write the tensors of a checkpoint into a safetensors file (or several, with their index), a .npz
archive, or a directory of .npy files, bit for bit; every checksum is verified on the way, and
nothing is left behind if something fails.

Partitioned tensors are joined; the object graph of TF2 is left out. Strings, and whatever else
the files cannot hold, are refused by name, or left out with --skip-unsupported. Where numpy
lacks a dtype, as bfloat16, .npz and .npy files have integers with the same bits."""

_EPILOG = f"""\
{PATTERN_HELP}

{NAMING_HELP}

examples:
  tfbundle export model.ckpt-1000 model.safetensors --optimizer drop
  tfbundle export saved_model/ model.safetensors --names paths
  tfbundle export saved_model/ model.safetensors --max-shard-size 5GB
  tfbundle export model.ckpt-1000 half.safetensors --to float16 --keep norm
  tfbundle export model.ckpt-1000 weights.npz --select 'encoder/*'
  tfbundle export model.ckpt-1000 weights/"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "export",
        parents=[common],
        help="write safetensors, .npz or .npy files",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to export")
    parser.add_argument("target", metavar="DST", help="FILE.safetensors, FILE.npz, or DIR/ for .npy files")
    add_choice_options(parser.add_argument_group("which tensors"))
    _add_cast_options(parser.add_argument_group("dtypes"))
    names = parser.add_argument_group("under which names")
    names.add_argument(
        "--names",
        choices=("keys", "paths"),
        default="keys",
        help="keys names tensors as the checkpoint does; paths names those of a TF2 checkpoint by their paths in the "
        "model, without /.ATTRIBUTES/VARIABLE_VALUE",
    )
    add_naming_options(names)
    _add_file_options(parser.add_argument_group("how"))
    add_output_options(parser.add_argument_group("output"))
    parser.set_defaults(run=run, like="")


def _add_cast_options(group: Any) -> None:
    group.add_argument("--to", metavar="DTYPE", help="cast to this dtype (default: values stay what they are)")
    group.add_argument(
        "--from",
        dest="sources",
        metavar="DTYPE",
        action="append",
        default=[],
        help="cast tensors of this dtype (repeatable; default: as for the verb cast)",
    )
    add_rule_option(group)
    add_overflow_option(group)


def _add_file_options(group: Any) -> None:
    group.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        type=parse_given,
        help="begin another safetensors file where this size, such as 5GB, would be exceeded, and write an index",
    )
    group.add_argument(
        "--metadata",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=lambda text: parse_pair(text, "KEY=VALUE, such as format=tf"),
        help="text for the metadata of safetensors files, such as format=tf (repeatable)",
    )
    group.add_argument(
        "--skip-unsupported", action="store_true", help="leave out tensors that the files cannot hold, such as strings"
    )
    add_jobs_option(group)
    group.add_argument("--force", action="store_true", help="replace files that are there already")
    group.add_argument("--dry-run", action="store_true", help="say what would be done; read no payload, write nothing")


def run(options: argparse.Namespace) -> int:
    """Export, and print the report."""
    from tfbundle.exporters.export import export
    from tfbundle.exporters.request import ExportOptions
    from tfbundle.streaming.layout import parse_nbytes

    limit = parse_nbytes(options.max_shard_size) if options.max_shard_size else None
    report = export(
        options.source,
        options.target,
        policy=_read_policy(options),
        selection=read_selection(options),
        naming=read_naming(options),
        files=ExportOptions(limit, options.skip_unsupported, options.names, dict(options.metadata)),
        options=read_run_options(options),
    )
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_summary(report, nothing_cast="")
    return 0


def _read_policy(options: argparse.Namespace) -> CastPolicy | None:
    """Return the policy that the options ask for, None where nothing is to be cast.

    Raises:
        ValueError: options that say how to cast, where nothing is.
    """
    from tfbundle.casting.policy import CastPolicy

    if options.to:
        return CastPolicy(options.to, tuple(options.sources), tuple(options.rule), options.on_overflow)
    given = (
        ("--keep", options.keep),
        ("--only", options.only),
        ("--from", options.sources),
        ("--rule", options.rule),
        ("--optimizer cast", options.optimizer == "cast"),
        ("--on-overflow", options.on_overflow != "error"),
    )
    for option, value in given:
        if value:
            raise ValueError(f"{option} says how to cast, and without --to nothing is cast")
    return None
