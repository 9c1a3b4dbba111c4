"""``tfbundle completion SHELL``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

_DESCRIPTION = """\
Print the script that lets a shell complete verbs, options, what these may be, and paths when TAB
is pressed. A checkpoint is offered as its prefix. The script runs no Python; print it anew after
an update."""

_EPILOG = """\
To make the script takes the package shtab: pip install 'tfbundle[completion]'. Where it goes:
  bash  a file that ~/.bashrc reads with `source`, or
        ~/.local/share/bash-completion/completions/tfbundle
  zsh   a file called _tfbundle in a directory of $fpath, such as ~/.zfunc
  fish  ~/.config/fish/completions/tfbundle.fish

examples:
  tfbundle completion bash > ~/.tfbundle.bash
  tfbundle completion fish > ~/.config/fish/completions/tfbundle.fish"""

_DTYPES = ("float16", "bfloat16", "float32", "float64", *(f"{sign}int{8 << n}" for sign in ("", "u") for n in range(4)))
_NO_PATHS = {"PAT", "NAME", "INDEX", "N", "SIZE", "R", "T", "PREFIX", "FROM=TO", "PAT=DTYPE", "URL", "ADDRESS"}

# Of a function with `_files` in its name shtab lets bash quote what it prints.
_PATHS = {
    "bash": "_tfbundle_files",
    "zsh": "_tfbundle_files",
    "fish": "(_tfbundle_files)",
    "preamble": {
        "bash": r"""
# a checkpoint goes by the beginning that its files share
_tfbundle_files() {
  compgen -f -- "$1" | sed -e '/\.data-[0-9]*-of-[0-9]*$/d' -e 's/\.index$//'
}
""",
        "zsh": r"""
# a checkpoint goes by the beginning that its files share
_tfbundle_files() {
  _alternative 'checkpoints:checkpoint:_path_files -g "*.index(:r)"' \
    'files:file:_path_files -g "^*.(index|data-*)(-.)"' 'directories:directory:_path_files -/'
}
""",
        "fish": r"""
# a checkpoint goes by the beginning that its files share
function _tfbundle_files
  __fish_complete_path (commandline -ct) | string match -rv '\.data-\d+-of-\d+(\t.*)?$' \
    | string replace -r '\.index(\t.*)?$' ''
end
""",
    },
}


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "completion",
        parents=[common],
        help="let a shell complete commands",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    print(write_script(options.shell))
    return 0


def write_script(shell: str) -> str:
    """Return the script that completes command lines in a shell.

    Raises:
        UnsupportedError: ``shtab`` is not installed.
    """
    from tfbundle.cli.parser import build_parser
    from tfbundle.errors import UnsupportedError

    try:
        import shtab
    except ImportError:
        missing = "the script is made by the package shtab, which is missing; pip install 'tfbundle[completion]'"
        raise UnsupportedError(missing) from None
    parser = build_parser()
    for action in _iter_actions(parser):
        _prepare(action)
    script = str(shtab.complete(parser, shell=shell)).rstrip("\n")
    return script.replace('"(*):', '"*:')  # of zsh: options may stand among many SRC


def _iter_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                action.choices[choice.dest].description = choice.help  # what zsh and fish show beside the verb
            for verb in action.choices.values():
                yield from _iter_actions(verb)


def _prepare(action: argparse.Action) -> None:
    """Let an action tell shtab what its value may be, and shells show no more than the beginning of its help."""
    action.help = _first_words(action.help or "")
    if action.nargs == 0 or action.choices is not None:
        return
    if action.metavar == "DTYPE":
        action.choices = _DTYPES
    elif action.metavar not in _NO_PATHS and action.type not in (int, float):
        action.complete = _PATHS  # type: ignore[attr-defined]


def _first_words(text: str) -> str:
    """Return the beginning of a help text, up to its first pause; a pause has no comma, or many would say nothing.

    Example:
        >>> _first_words("cast only these (repeatable)")
        'cast only these'
    """
    for pause in ("; ", ": ", " ("):
        text = text.partition(pause)[0]
    return text
