"""What mutmut leaves behind: each mutant, how it differs from the original, and what became of it."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KILLED, TIMEOUT, SURVIVED, UNTESTED = "killed", "timeout", "survived", "untested"
_OUTCOMES = {0: SURVIVED, 1: KILLED, 3: KILLED, 5: UNTESTED, 33: UNTESTED}  # exit status of pytest, else a signal
_NAME = re.compile(r"x(?:_|ǁ(?P<owner>\w+)ǁ)(?P<function>\w+)__mutmut_(?:\d+|orig)")


class Mutant(NamedTuple):
    """One change of one function.

    Attributes:
        name: by which mutmut knows it.
        module: path of the file within the package.
        function: its name, with that of its class.
        change: the lines that are new in it; where lines are only gone, these, with a minus sign.
        lines: the lines of the mutated file that hold it.
        outcome: of the tests.
    """

    name: str
    module: str
    function: str
    change: str
    lines: range
    outcome: str

    @property
    def place(self) -> tuple[str, str, str]:
        """By what it is known in a list, whatever else is in the file."""
        return self.module, self.function, self.change


def iter_mutants(directory: Path) -> Iterator[Mutant]:
    """Yield the mutants of a run by mutmut in that directory."""
    for path in sorted((directory / "mutants" / "tfbundle").rglob("*.py.meta")):
        outcomes = json.loads(path.read_text())["exit_code_by_key"]
        source = path.with_suffix("")
        functions = _functions(source.read_text()) if outcomes else {}
        for name, status in outcomes.items():
            short = name.rpartition(".")[2]
            match = _NAME.fullmatch(short)
            assert match, name
            original, (changed, lines) = functions[re.sub(r"\d+$", "orig", short)][0], functions[short]
            function = ".".join(part for part in match.group("owner", "function") if part)
            module = str(source.relative_to(directory / "mutants" / "tfbundle"))
            outcome = "not run" if status is None else _OUTCOMES.get(status, TIMEOUT)
            yield Mutant(name, module, function, _difference(original, changed), lines, outcome)


def _functions(source: str) -> dict[str, tuple[list[str], range]]:
    """Return the lines of every function that mutmut made, without its name, and where they stand."""
    lines = source.splitlines()
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and _NAME.fullmatch(node.name):
            text = [line.replace(node.name, "f").strip() for line in lines[node.lineno - 1 : node.end_lineno]]
            found[node.name] = text, range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return found


def _difference(original: list[str], changed: list[str]) -> str:
    lines = [line for line in difflib.ndiff(original, changed) if line[:2] in ("+ ", "- ")]
    new = [line[2:] for line in lines if line[0] == "+"]
    return " ⏎ ".join(new or [line[:1] + line[2:] for line in lines])
