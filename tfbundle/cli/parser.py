"""The argument parser, put together from the verbs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from tfbundle.cli.manual import PROGRAM_EPILOG, ManualFormatter, add_sections, synopsis
from tfbundle.cli.output import escape
from tfbundle.cli.status import IO_FAILED, PIPE_CLOSED, USAGE
from tfbundle.cli.streams import give_up_streams

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

VERBS = (
    "halve",
    "cast",
    "merge",
    "average",
    "set",
    "export",
    "import",
    "ls",
    "show",
    "stats",
    "verify",
    "diff",
    "salvage",
    "run",
    "demo",
    "completion",
)
"""Modules beside this one, but for those of other names."""

_OTHER_NAMES = {"import": "import_tensors"}

_USAGE = """\
%(prog)s VERB [ARGUMENT ...]
%(prog)s VERB --help
%(prog)s --version"""

_DESCRIPTION = """\
Read, write, halve and otherwise convert TensorFlow checkpoints without TensorFlow.

SRC is a checkpoint's prefix (such as model.ckpt-1000), any of its files, a directory with a
`checkpoint` file, or a SavedModel directory. DST is a prefix, or a directory in which the
output takes the source's name."""


class _Parser(argparse.ArgumentParser):
    """A parser that tells what is wrong in one line, as ``main`` does, and leaves the usage to ``--help``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "formatter_class": ManualFormatter})

    def error(self, message: str) -> NoReturn:
        """Leave with the exit status of wrong usage."""
        self.exit(USAGE, f"tfbundle: {escape(message)}; {self.prog} --help tells more\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print help, version or an error at once; where that fails, leave as ``main`` does."""
        is_asked_for = file is sys.stdout
        try:
            print(message, end="", file=sys.stdout if is_asked_for else sys.stderr, flush=True)
        except OSError as error:
            give_up_streams()
            if is_asked_for:
                sys.exit(PIPE_CLOSED if isinstance(error, BrokenPipeError) else IO_FAILED)


class _Version(argparse.Action):
    """Prints what a report of a bug should say."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tfbundle.cli.version import version_text

        parser._print_message(version_text(), sys.stdout)
        parser.exit()


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the command line; parsed options have ``run``, the verb's function.

    Args:
        arguments: what is to be parsed; where a verb comes first, no other is imported.

    Example:
        >>> build_parser(["ls"]).parse_args(["ls", "model.ckpt-1000"]).source
        'model.ckpt-1000'
    """
    parser = _Parser(
        prog="tfbundle",
        description=_DESCRIPTION,
        epilog=PROGRAM_EPILOG,
    )
    parser.add_argument(
        "-V", "--version", action=_Version, nargs=0, help="print the version, and those of what it uses"
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for verb in arguments[:1] if arguments and arguments[0] in VERBS else VERBS:
        import_module(f"tfbundle.cli.{_OTHER_NAMES.get(verb, verb)}").add_parser(verbs, common)
    for of_verb in verbs.choices.values():
        of_verb.usage = of_verb.usage or synopsis(of_verb)
        of_verb.epilog = add_sections(of_verb.epilog)
    parser.usage = _USAGE
    return parser


def _explain_verb(word: str) -> str:
    """Say that a word is no verb, and which one may be meant."""
    from difflib import get_close_matches

    near = get_close_matches(word, VERBS, 1)
    advice = f"the nearest is {near[0]}" if near else f"expected one of {', '.join(VERBS)}"
    return f"there is no verb {word!r}; {advice}"


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; exits with a message where it is wrong.

    Where a verb takes many SRC before its DST, options may stand between them, which ``argparse`` alone does not allow.

    Example:
        >>> options = parse_options(["merge", "a", "b", "--link", "both"])
        >>> options.sources, options.target
        (['a', 'b'], 'both')
    """
    parser = build_parser(arguments)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
        parser.error(_explain_verb(arguments[0]))
    options, rest = parser.parse_known_args(arguments)
    if rest and (not getattr(options, "takes_many", False) or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.sources += [options.target, *rest[:-1]]
        options.target = rest[-1]
    return options
