"""``tfbundle show SRC NAME``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape, plural, print_json

if TYPE_CHECKING:
    from tfbundle.bundle.reader import BundleReader
    from tfbundle.bundle.region import Index, Where

_DESCRIPTION = """\
Print one tensor: what the index says of it, and its values. Values are checked against the
tensor's checksum, unless --where asks for a part of them."""

_EPILOG = """\
examples:
  tfbundle show model.ckpt-1000 dense/kernel
  tfbundle show model.ckpt-1000 dense/kernel --where 0:2,-1"""

_NAME_HELP = "the tensor's name; a closing :0 is ignored, and a TF2 key needs no closing /.ATTRIBUTES/VARIABLE_VALUE"
_MOST_VALUES = 1000
_MOST_CHARACTERS = 200


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "show",
        parents=[common],
        help="print one tensor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to read")
    parser.add_argument("name", metavar="NAME", help=_NAME_HELP)
    parser.add_argument("--where", metavar="INDEX", help="print a part of it, as between the brackets of a[INDEX]")
    parser.add_argument("--all", action="store_true", help=f"print every value, where there are over {_MOST_VALUES:,}")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tensor."""
    from tfbundle.bundle.opening import open_bundle

    where = parse_where(options.where) if options.where else ...
    with open_bundle(options.source) as bundle:
        name = _find_name(options.name, bundle)
        info = bundle.entries[name]
        value = bundle.read(name, where)
        bundle.check_unchanged()
    if options.json:
        print_json({**asdict(info), "value": _to_plain(value)})
        return 0
    shape = f"[{','.join(map(str, info.shape))}]"
    print(f"{escape(info.name)}: {info.dtype} {shape}, {info.nbytes:,} bytes at {info.offset:,} of shard {info.shard}")
    _print_values(value, everything=options.all)
    return 0


def _find_name(name: str, bundle: BundleReader) -> str:
    """Return the full name of the tensor that a name means, or the name itself."""
    from tfbundle.choosing.names import TensorNames

    known = TensorNames(bundle)
    found = known.find(name) or known.find(name.removesuffix(":0"))
    return found.name if found else name


def parse_where(text: str) -> Where:
    """Parse an index such as ``0:2,-1``.

    Raises:
        ValueError: not made of integers, slices and ``...``.

    Example:
        >>> parse_where("0:2,-1")
        (slice(0, 2, None), -1)
    """
    return tuple(_parse_index(part.strip(), text) for part in text.split(","))


def _parse_index(part: str, text: str) -> Index:
    if part == "...":
        return ...
    try:
        if ":" not in part:
            return int(part)
        bounds = [int(bound) if bound.strip() else None for bound in part.split(":")]
        return slice(*bounds)
    except (ValueError, TypeError):
        raise ValueError(f"--where {text!r}: expected integers, slices and '...', separated by commas") from None


def _to_plain(value: Any) -> Any:
    """Return an array as nested lists of Python's own numbers, also for dtypes that only ml_dtypes knows."""
    return value.tolist() if hasattr(value, "tolist") else value


def _print_values(value: Any, *, everything: bool) -> None:
    import numpy as np

    array = np.asarray(value, object) if isinstance(value, bytes) else np.asarray(value)
    if array.dtype.kind == "O":
        _print_strings(array.reshape(-1).tolist(), everything=everything)
        return
    threshold = array.size + 1 if everything else _MOST_VALUES
    print(np.array2string(array, threshold=threshold, separator=", "))
    if array.size > threshold:
        print(f"(a summary of {plural(array.size, 'value')}; --all prints every one)")


def _print_strings(values: list[bytes], *, everything: bool) -> None:
    most = len(values) if everything else _MOST_VALUES
    for value in values[:most]:
        text = escape(value.decode("utf-8", "surrogateescape"))
        rest = len(text) - _MOST_CHARACTERS
        if rest > 0 and not everything:
            text = f"{text[:_MOST_CHARACTERS]} … ({len(value):,} bytes in all; --all prints every one)"
        print(text)
    if len(values) > most:
        print(f"({most:,} of {plural(len(values), 'string')}; --all prints every one)")
