"""``tfbundle ls SRC``."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape, format_nbytes, plural, print_json, print_table
from tfbundle.cli.tree import iter_tree_lines, read_tree, tree_to_plain

if TYPE_CHECKING:
    from tfbundle.bundle.reader import BundleReader, TensorInfo

_DESCRIPTION = """\
List a checkpoint's tensors: dtype, shape, bytes of payload and name. Reads the index only, so it
also works where the data files are missing."""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "ls",
        parents=[common],
        help="list the tensors",
        description=_DESCRIPTION,
        epilog="example:\n  tfbundle ls model.ckpt-1000 '*/kernel'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to list")
    parser.add_argument("patterns", metavar="PAT", nargs="*", help="list only tensors whose names match one of these")
    parser.add_argument(
        "--tree", action="store_true", help="draw the object tree of a TF2 checkpoint: names, values and slots"
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON, with shards and checksums")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the list."""
    from tfbundle.bundle.reader import open_bundle
    from tfbundle.conversion.select import match_names

    with open_bundle(options.source) as bundle:
        if options.tree:
            return _run_tree(bundle, options)
        names = list(bundle)
        if options.patterns:
            matched = match_names(options.patterns, names)
            names = [name for name in names if name in matched]
        entries = [bundle.entries[name] for name in names]
        num_shards = bundle.index.header.num_shards
    if options.json:
        print_json({"prefix": bundle.prefix, "num_shards": num_shards, "tensors": [asdict(info) for info in entries]})
        return 0
    if entries:
        print_table([_row(info) for info in entries], right=(2,))
    num_values = sum(math.prod(info.shape) for info in entries)
    nbytes = sum(info.nbytes for info in entries)
    print(
        f"{plural(len(entries), 'tensor')}, {plural(num_values, 'value')}, {format_nbytes(nbytes)} "
        f"in {plural(num_shards, 'shard')}"
    )
    return 0


def _run_tree(bundle: BundleReader, options: argparse.Namespace) -> int:
    if options.patterns:
        raise ValueError("--tree draws the whole tree; leave out the patterns")
    graph = read_tree(bundle)
    if options.json:
        print_json({"prefix": bundle.prefix, "objects": tree_to_plain(bundle, graph)})
        return 0
    for line in iter_tree_lines(bundle, graph):
        print(line)
    return 0


def _row(info: TensorInfo) -> tuple[str, ...]:
    shape = f"[{','.join(map(str, info.shape))}]"
    slices = f"  ({plural(len(info.slices), 'slice')})" if info.slices else ""
    return info.dtype, shape, f"{info.nbytes:,}", escape(info.name) + slices
