"""New names for tensors: what each rule makes of each name, and whether all can be called so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tfbundle.choosing.closest import hint_closest
from tfbundle.choosing.names import OBJECT_GRAPH, Found, TensorNames, known_names
from tfbundle.choosing.naming import Naming, OnCollision, Rule, make_rules
from tfbundle.format.naming import name_to_key
from tfbundle.format.object_paths import ATTRIBUTES, VALUE_ENDING

NOT_MAPPED = "not in --map"
REPLACED = "replaced by a renamed tensor"
"""Reasons given for tensors that their names leave out."""

_MOST_NAMED = 3


class _Name(NamedTuple):
    """What a tensor is called at some point.

    Attributes:
        text: the name.
        place: the key or object path that was renamed; None as long as no rule has matched.
    """

    text: str
    place: str | None


@dataclass(frozen=True)
class Renaming:
    """What follows from a ``Naming``.

    Attributes:
        names: new name of each tensor that gets another one.
        places: for each renamed tensor, the key or path through the object graph that was renamed.
        left_out: why, for each tensor that is left out.
    """

    names: Mapping[str, str]
    places: Mapping[str, str]
    left_out: Mapping[str, str]


def rename_tensors(names: Collection[str], naming: Naming, dropped: Collection[str] = ()) -> Renaming:
    """Give every tensor its new name.

    Args:
        names: of all tensors; ``TensorNames`` are renamed by whatever they are known by.
        naming: what they are to be called.
        dropped: names of tensors that are left out anyway. Rules may match them, but it takes nothing to be dropped.

    Raises:
        ValueError: the map lists tensors that do not exist; a rule matches no name; tensors would get the same name, or
            one that cannot be.

    Example:
        >>> renaming = rename_tensors(["old/w", "old/b", "step"], Naming(rename=(("old/", "new/"),)))
        >>> renaming.names
        {'old/w': 'new/w', 'old/b': 'new/b'}
    """
    known = known_names(names)
    mapped = _resolve_map(naming.map or {}, known)
    rest = [name for name in known if name not in mapped]
    if naming.map is not None and naming.map_rest == "drop":
        left_out = {name: NOT_MAPPED for name in rest if name not in known.bookkeeping and name not in dropped}
        renamed = {name: _Name(name, None) for name in rest}
    else:
        left_out, renamed = {}, _apply_rules(rest, known, naming)
    gone = {*dropped, *left_out}
    wanted = {name: new for name, new in (mapped | renamed).items() if name not in gone}
    changed = {name: new.text for name, new in wanted.items() if new.text != name}
    _check_names(changed, known)
    replaced = _find_replaced({name: new.text for name, new in wanted.items()}, naming.on_collision)
    places = {name: wanted[name].place or name for name in changed}
    return Renaming(changed, places, left_out | dict.fromkeys(replaced, REPLACED))


def _resolve_map(wanted: Mapping[str, str], names: TensorNames) -> dict[str, _Name]:
    """Return the new name of each tensor that a map lists, by its name in the checkpoint."""
    resolved: dict[str, _Name] = {}
    asked: dict[str, str] = {}
    unknown = []
    for text, new in wanted.items():
        found = names.find(text) or names.find(text.removesuffix(":0"))
        if found is None:
            unknown.append(text)
        elif found.name in asked:
            raise ValueError(f"--map lists {found.name} twice, as {asked[found.name]} and as {text}")
        else:
            asked[found.name] = text
            resolved[found.name] = _Name(_with_ending(new, text, found), found.place)
    if unknown:
        listed = "; ".join(text + hint_closest(text, names.iter_short()) for text in unknown[:_MOST_NAMED])
        more = f"; and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        raise ValueError(f"{len(unknown)} of {len(wanted)} names in --map are not in the checkpoint: {listed}{more}")
    return resolved


def _with_ending(new: str, text: str, found: Found) -> str:
    """Return a new name with the ending that was left out of both, and without the ``:0`` that both have."""
    if text.endswith(":0") and not found.name.endswith(":0"):
        new = new.removesuffix(":0")
    if new and found.name.endswith(VALUE_ENDING) and ATTRIBUTES not in text and ATTRIBUTES not in new:
        return new + VALUE_ENDING
    return new


def _apply_rules(rest: Iterable[str], names: TensorNames, naming: Naming) -> dict[str, _Name]:
    current = {name: _Name(name, None) for name in rest}
    free = [name for name in current if name not in names.bookkeeping]
    for rule in make_rules(naming):
        changed = {name: new for name in free if (new := _apply(rule, current[name], names)) is not None}
        if not changed:
            hint = hint_closest(rule.pattern, names.iter_short())
            raise ValueError(f"{rule.label} matches none of the {len(free)} tensors{hint}")
        current |= changed
    if naming.add_prefix:
        for name in free:
            text, place = current[name]
            current[name] = _Name(naming.add_prefix + text, place)
    return current


def _apply(rule: Rule, name: _Name, names: TensorNames) -> _Name | None:
    """Return a new name, None where a rule matches neither the name so far nor, at first, the path in the model."""
    candidates = [name]
    if name.place is None and (path := names.model_paths.get(name.text)):
        candidates.append(_Name(path, path))
    for text, place in candidates:
        for ending in ("", VALUE_ENDING):
            if text.endswith(ending) and (new := rule.apply(text.removesuffix(ending))) is not None:
                return _Name(new + ending, place or text)
    return None


def _check_names(changed: Mapping[str, str], names: TensorNames) -> None:
    """Refuse names that no tensor can have.

    Raises:
        ValueError: there is one.
    """
    in_graph = {key for node in names.graph for key in node.checkpoint_keys}
    for old, new in changed.items():
        if why := _fault(old, new):
            raise ValueError(f"cannot rename {old} to {new!r}: {why}")
        if ATTRIBUTES in new and ATTRIBUTES not in old and old not in in_graph:
            raise ValueError(
                f"cannot rename {old} to {new}: that is the key of an object, and no object of the checkpoint has the "
                "value; leave out the ending that begins with /.ATTRIBUTES"
            )


def _fault(old: str, new: str) -> str:
    if OBJECT_GRAPH in (old, new):
        return "only the object graph has this name, and it has no other"
    if not new:
        return "it leaves no name"
    if new.startswith("\0"):
        return "a byte 0 at the beginning marks slices"
    if "" in new.partition(ATTRIBUTES)[0].split("/") and ATTRIBUTES in new:
        return "the path of an object has an empty part"
    try:
        name_to_key(new)
    except UnicodeEncodeError:
        return "it is no Unicode text"
    return ""


def _find_replaced(names: Mapping[str, str], on_collision: OnCollision) -> list[str]:
    """Return the tensors whose names others take.

    Raises:
        ValueError: tensors would get the same name.
    """
    if len(set(names.values())) == len(names):
        return []
    by_new_name = defaultdict(list)
    for old, new in names.items():
        by_new_name[new].append(old)
    collisions = {new: olds for new, olds in by_new_name.items() if len(olds) > 1}
    if on_collision == "replace" and all(len(olds) == 2 and new in olds for new, olds in collisions.items()):
        return list(collisions)
    raise ValueError(_describe_collisions(collisions))


def _describe_collisions(collisions: Mapping[str, list[str]]) -> str:
    described = [f"{' and '.join(olds)} would both be called {new}" for new, olds in collisions.items()]
    more = f"; and {len(described) - _MOST_NAMED} more" if len(described) > _MOST_NAMED else ""
    can_replace = all(len(olds) == 2 and new in olds for new, olds in collisions.items())
    how = ", or replace the others with --on-collision replace" if can_replace else ""
    return f"{'; '.join(described[:_MOST_NAMED])}{more}: rename them otherwise, leave some out with --drop{how}"
