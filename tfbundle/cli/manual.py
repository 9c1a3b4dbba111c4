"""The look of ``--help``: a synopsis, text as wide as the terminal, and the sections of a manual page."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterable
from itertools import chain
from typing import Any

from tfbundle.cli.status import STATUS_TEXTS

_MOST_COLUMNS = 100  # longer lines are hard to read
_FEWEST_COLUMNS = 22
_EXAMPLES = re.compile(r"^examples?:$", re.MULTILINE)
_DEFINITION = re.compile(r"( +\S+(?: \S+)*  +)(\S.*)")
_LITTLE_ROOM = 16

_STATUS = "exit status:\n" + "\n".join(f"  {status:<4} {text}" for status, text in STATUS_TEXTS.items())

_SEE_ALSO = "`tfbundle --help` tells what SRC and DST may be, and of files and variables of the environment."

PROGRAM_EPILOG = f"""\
{_STATUS}

environment:
  COLUMNS   width of these texts and of the progress bar, where it is not that of the terminal
  NO_COLOR  if set and not empty, no colours; only --help has some, from Python 3.14 on
  TERM      if it is `dumb`, progress is told in lines, without a bar
  TMPDIR    where `demo` works when no directory is given

files:
  PREFIX.index                names, dtypes, shapes and checksums of a checkpoint's tensors
  PREFIX.data-NNNNN-of-NNNNN  their values
  checkpoint                  names the latest checkpoint of its directory
  FILE.tmp-PID-RANDOM         what an interrupted run left; see `tfbundle verify --finish`

examples:
  tfbundle demo
  tfbundle ls model.ckpt-1000
  tfbundle halve model.ckpt-1000 half/

`tfbundle VERB --help` tells the options of a verb. Please report a crash, a hang or a wrong value
with what `tfbundle --version` prints and, if you can, with the files."""


class ManualFormatter(argparse.HelpFormatter):
    """Wraps text to the terminal; leaves indented lines alone, and tells every default.

    A line such as ``  term    what it means`` is one of a list, and is wrapped beneath its second column.
    """

    def __init__(self, prog: str, **changes: int) -> None:
        columns = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
        super().__init__(prog, **{"width": max(columns, _FEWEST_COLUMNS) - 2, **changes})

    def add_usage(self, usage: str | None, *rest: Any, **more: Any) -> None:
        """Wrap what argparse would leave as it is."""
        if usage:
            lines = (_wrap(line, self._width - len("usage: "), "", "    ") for line in self._name(usage).splitlines())
            usage = "\n       ".join(chain.from_iterable(lines))
        super().add_usage(usage, *rest, **more)

    def _name(self, usage: str) -> str:
        return usage % {"prog": self._prog}

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for paragraph in text.split("\n\n"):
            lines += [*_wrap_paragraph(paragraph.splitlines(), width - len(indent)), ""]
        return "\n".join(indent + line if line else "" for line in lines[:-1])

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrap(" ".join(text.split()), width)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        is_told = "(default" in text or not action.option_strings or action.nargs == 0
        is_nothing = action.default is None or action.default in ("", [], argparse.SUPPRESS)
        return text if is_told or is_nothing else f"{text} (default: %(default)s)"


def synopsis(parser: argparse.ArgumentParser) -> str:
    """Return the usage of a verb: its options, which are listed below it, are one word.

    Example:
        >>> parser = argparse.ArgumentParser("tfbundle ls")
        >>> _ = parser.add_argument("patterns", metavar="PAT", nargs="*")
        >>> synopsis(parser)
        '%(prog)s [OPTION ...] [PAT ...]'
    """
    actions = parser._actions
    required = [f"{action.option_strings[-1]} {_argument(action)}" for action in actions if _is_required_option(action)]
    positional = [_argument(action) for action in actions if not action.option_strings]
    return " ".join(["%(prog)s", "[OPTION ...]", *required, *positional])


def add_sections(epilog: str | None) -> str:
    """Return the end of a verb's help with the sections that all verbs have; examples stay near the end."""
    text = epilog or ""
    match = _EXAMPLES.search(text)
    start = match.start() if match else len(text)
    return "\n\n".join(part for part in (text[:start].strip("\n"), _STATUS, text[start:], _SEE_ALSO) if part)


def _is_required_option(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.required


def _argument(action: argparse.Action) -> str:
    word = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    forms = {"?": f"[{word}]", "*": f"[{word} ...]", "+": f"{word} [{word} ...]", argparse.REMAINDER: f"[{word} ...]"}
    return forms.get(str(action.nargs), word)


def _wrap_paragraph(lines: Iterable[str], width: int) -> list[str]:
    wrapped: list[str] = []
    running: list[str] = []
    for line in lines:
        if not line.startswith(" "):
            running.append(line)
            continue
        wrapped += _wrap(" ".join(running), width)
        running = []
        wrapped += _wrap_indented(line, width)
    return wrapped + _wrap(" ".join(running), width)


def _wrap_indented(line: str, width: int) -> list[str]:
    match = _DEFINITION.fullmatch(line)
    if not match:
        return [line]
    term, text = match.groups()
    if width - len(term) < _LITTLE_ROOM:
        return [term.rstrip(), *_wrap(text, width, "      ", "      ")]
    return _wrap(text, width, term, " " * len(term))


def _wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Wrap text between words only: names of options and files stay whole."""
    import textwrap

    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )
