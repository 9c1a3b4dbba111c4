"""What tensors are to be called: a map of names, prefixes, and rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

from tfbundle.format.patterns import REGEX_MARK, compile_pattern

MapRest = Literal["drop", "keep"]
OnCollision = Literal["error", "replace"]


@dataclass(frozen=True)
class Naming:
    r"""The names that tensors get.

    A tensor that ``map`` lists is called what it says, and nothing else applies to it. Of all others, ``strip_prefix``
    is taken off, then ``rename`` applies, rule after rule, and last ``add_prefix`` is put in front. The ending
    ``/.ATTRIBUTES/VARIABLE_VALUE`` of TF2 keys may be ignored. The object graph follows, and keeps its own name, as the
    save counter does; both are left out where names of TF1 remain and no name of an object.

    Attributes:
        rename: (from, to) pairs: a name that begins with ``from`` begins with ``to`` instead; after ``re:``, ``from``
            is a regular expression, each match of which becomes ``to``, which may refer to its groups.
        strip_prefix: one or several; a tensor that has it loses it.
        add_prefix: what every name begins with.
        map: new names by saved names; ``:0`` may follow the saved name, or both. TF2 keys, and other paths through the
            object graph, may be given without their ending, and then the new name gets it as well; to give a tensor of
            a TF2 checkpoint a name of TF1, write its key in full.
        map_rest: ``"drop"`` leaves out what ``map`` does not list; ``"keep"`` keeps it.
        on_collision: what if a tensor is called after another one: ``"error"`` refuses; ``"replace"`` leaves out the
            other one, provided that it has its old name.

    Raises:
        ValueError: an option that does not exist, a malformed regular expression, names that are no text, or options
            that cannot have an effect.

    Example:
        >>> Naming(rename=(("encoder/", "bert/encoder/"), (r"re:/w$", "/kernel")), strip_prefix="model/").add_prefix
        ''
    """

    rename: tuple[tuple[str, str], ...] = ()
    strip_prefix: str | tuple[str, ...] = ()
    add_prefix: str = ""
    map: Mapping[str, str] | None = None
    map_rest: MapRest = "drop"
    on_collision: OnCollision = "error"

    def __post_init__(self) -> None:
        if self.map_rest not in get_args(MapRest):
            raise ValueError(f"map_rest is {self.map_rest!r}, expected one of {get_args(MapRest)}")
        if self.on_collision not in get_args(OnCollision):
            raise ValueError(f"on_collision is {self.on_collision!r}, expected one of {get_args(OnCollision)}")
        rules = make_rules(self)
        if self.map is not None:
            _check_map(self.map)
        if self.map is not None and self.map_rest == "drop":
            if not self.map:
                raise ValueError("the map lists no tensor: nothing would be written")
            if rules or self.add_prefix:
                name = rules[0].label if rules else f"--add-prefix {self.add_prefix}"
                raise ValueError(f"{name} applies to tensors that --map does not list; it needs --map-rest keep")

    @property
    def changes_nothing(self) -> bool:
        """Whether every tensor keeps its name."""
        return not (self.rename or self.prefixes or self.add_prefix) and self.map is None

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes that are taken off."""
        if isinstance(self.strip_prefix, str):
            return (self.strip_prefix,) if self.strip_prefix else ()
        return tuple(self.strip_prefix)


class Rule(NamedTuple):
    """One rule.

    Attributes:
        label: the option that asks for it.
        pattern: what names must begin with, or have a match of.
        apply: returns the new name, None where the rule does not match.
    """

    label: str
    pattern: str
    apply: Callable[[str], str | None]


def make_rules(naming: Naming) -> list[Rule]:
    """Return the rules that strip and rename, in the order in which they apply.

    Raises:
        ValueError: a malformed rule.

    Example:
        >>> [rule.apply("a/w") for rule in make_rules(Naming(rename=(("a/", "b/"), ("x", "y"))))]
        ['b/w', None]
    """
    stripped = [
        Rule(f"--strip-prefix {prefix}", prefix, partial(_replace_start, prefix, "")) for prefix in naming.prefixes
    ]
    return stripped + [_make_rule(old, new) for old, new in naming.rename]


def _make_rule(old: str, new: str) -> Rule:
    label = f"--rename {old}={new}"
    if not old.startswith(REGEX_MARK):
        return Rule(label, old, partial(_replace_start, old, new))
    expression = compile_pattern(old)
    try:
        expression.sub(new, "")
    except (re.error, IndexError) as error:
        raise ValueError(f"{label}: {error}") from error
    return Rule(label, old.removeprefix(REGEX_MARK), partial(_replace_matches, expression, new))


def _replace_start(old: str, new: str, name: str) -> str | None:
    return new + name.removeprefix(old) if name.startswith(old) else None


def _replace_matches(expression: re.Pattern[str], new: str, name: str) -> str | None:
    changed, count = expression.subn(new, name)
    return changed if count else None


def _check_map(names: Mapping[str, str]) -> None:
    for old, new in names.items():
        if not (isinstance(old, str) and isinstance(new, str)):
            raise ValueError(f"the map takes {old!r} to {new!r}, expected text to text")
