"""``tfbundle ls SRC``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape, escape_all, format_nbytes, format_table, plural, print_json, print_lines
from tfbundle.cli.tree import iter_tree_lines, read_tree, tree_to_plain

if TYPE_CHECKING:
    from tfbundle.bundle.listing import Kind
    from tfbundle.bundle.reader import BundleReader

_DESCRIPTION = """\
List a checkpoint's tensors: dtype, shape, bytes of payload and name. Reads the index only, so it
also works where the data files are missing. For patterns, the object graph of a TF2 checkpoint
is read too, if it is there."""

_EPILOG = """\
A pattern PAT is what halve takes: a shell glob in which * also matches /, a regular expression
after `re:`, or one of the words batchnorm, norm, embedding.

examples:
  tfbundle ls model.ckpt-1000 '*/kernel'
  tfbundle ls model.ckpt-1000 norm
  tfbundle ls saved_model/ --tree"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "ls",
        parents=[common],
        help="list the tensors",
        description=_DESCRIPTION,
        epilog=_EPILOG,
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
    from tfbundle.bundle.opening import open_bundle

    with open_bundle(options.source) as bundle:
        if options.tree:
            return _run_tree(bundle, options)
        chosen = _match(options.patterns, bundle)
        if options.json:
            _print_json(bundle, chosen)
        else:
            _print_list(bundle, chosen)
    return 0


def _match(patterns: list[str], bundle: BundleReader) -> Collection[str] | None:
    """Return the names that match; None where there are no patterns, which means all."""
    if not patterns:
        return None
    from tfbundle.choosing.matching import match_names

    return match_names(patterns, _known_names(bundle))


def _known_names(bundle: BundleReader) -> Collection[str]:
    """Return all names, and the paths through the object graph if it can be read: data files may be missing."""
    from tfbundle.choosing.names import read_names
    from tfbundle.errors import BundleError

    try:
        return read_names(bundle)
    except BundleError as error:
        print(f"note: patterns go by keys alone, without the object graph: {escape(str(error))}", file=sys.stderr)
        return bundle


def _print_json(bundle: BundleReader, chosen: Collection[str] | None) -> None:
    from dataclasses import asdict

    names = bundle if chosen is None else [name for name in bundle if name in chosen]
    tensors = [asdict(bundle.entries[name]) for name in names]
    print_json({"prefix": bundle.prefix, "num_shards": bundle.index.header.num_shards, "tensors": tensors})


def _print_list(bundle: BundleReader, chosen: Collection[str] | None) -> None:
    """Print a line for each tensor, and the totals; of a million, most lines differ in the name alone."""
    listing = bundle.list_tensors()
    if chosen is not None:
        listing = listing.only(chosen)
    starts = [f"{line}  " for line in format_table([_cells(kind) for kind in listing.kinds], right=(2,))]
    ends = [_end(kind) for kind in listing.kinds]
    names = zip(listing.numbers.tolist(), escape_all(listing.iter_names()), strict=True)
    print_lines(starts[number] + name + ends[number] for number, name in names)
    counts = list(zip(listing.kinds, listing.counts(), strict=True))
    num_values = sum(math.prod(kind.shape) * count for kind, count in counts)
    nbytes = sum(kind.nbytes * count for kind, count in counts)
    print(
        f"{plural(len(listing.keys), 'tensor')}, {plural(num_values, 'value')}, {format_nbytes(nbytes)} "
        f"in {plural(bundle.index.header.num_shards, 'shard')}"
    )


def _cells(kind: Kind) -> tuple[str, ...]:
    return kind.dtype, f"[{','.join(map(str, kind.shape))}]", f"{kind.nbytes:,}"


def _end(kind: Kind) -> str:
    return f"  ({plural(kind.num_slices, 'slice')})" if kind.num_slices else ""


def _run_tree(bundle: BundleReader, options: argparse.Namespace) -> int:
    if options.patterns:
        raise ValueError("--tree draws the whole tree; leave out the patterns")
    graph = read_tree(bundle)
    if options.json:
        print_json({"prefix": bundle.prefix, "objects": tree_to_plain(bundle, graph)})
        return 0
    print_lines(iter_tree_lines(bundle, graph))
    return 0
