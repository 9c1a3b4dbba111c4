"""Matching a checkpoint with a template: which tensors are written, in which dtype, and what is in the way.

Names have to be equal, and shapes; dtypes may differ where one can be cast to the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from tfbundle.casting.casters import can_cast
from tfbundle.choosing.closest import find_closest
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name
from tfbundle.format.wanted import Wanted

Shape = tuple[int, ...]

_OBJECT_GRAPH = key_to_name(OBJECT_GRAPH_KEY)
_MOST_NAMES = 3  # of each kind, in a message that must stay one line
_MOST_TO_COMPARE = 10_000
_MOST_RULES = 20


class Difference(NamedTuple):
    """A tensor that is there, but not as it is wanted.

    Attributes:
        found: its dtype or shape in the source.
        wanted: that in the template.
    """

    found: str
    wanted: str


@dataclass(frozen=True)
class LikeMatch:
    """How a checkpoint compares with a template; each tensor is in one of the fields.

    Attributes:
        targets: dtype of each tensor that is written, by name in the order of the source. The object graph of a TF2
            checkpoint is one of them, whether the template has one or not: it describes what it stands beside.
        extra: tensors of the source that the template lacks, which are left out.
        missing: tensors of the template that the source lacks.
        misshapen: tensors of other shapes.
        uncastable: tensors of dtypes that are not cast to each other.
    """

    targets: Mapping[str, str]
    extra: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    misshapen: Mapping[str, Difference] = field(default_factory=dict)
    uncastable: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the source has all that the template wants, and anything of it."""
        return not (self.missing or self.misshapen or self.uncastable or self._is_unrelated)

    @property
    def _is_unrelated(self) -> bool:
        return bool(self.extra) and not (self.targets.keys() - {_OBJECT_GRAPH})

    def check(self, source: str, template: str) -> None:
        """Refuse a source that cannot become like the template.

        Args:
            source: what messages call the source.
            template: what messages call the template.

        Raises:
            ValueError: it cannot; the message counts all that is in the way, with a few names of each kind.

        Example:
            >>> match_template({"a/w": ("float32", (2,))}, {"b/w": Wanted("float32", (2,))}).check("SRC", "TEMPLATE")
            Traceback (most recent call last):
            ValueError: TEMPLATE wants 1 tensor that SRC lacks: b/w (--rename a/=b/ would make it)
        """
        causes = [
            *self._missing_cause(source),
            *_difference_cause(self.misshapen, "shape", source),
            *_difference_cause(self.uncastable, "dtype", source),
        ]
        if causes:
            rule = " (floats are cast to floats, and integers to integers)" if self.uncastable else ""
            raise ValueError(f"{template} wants {'; '.join(causes)}{rule}")
        if self._is_unrelated:
            raise ValueError(f"{template} wants none of the {_count(self.extra)} of {source}")

    def _missing_cause(self, source: str) -> Iterator[str]:
        if self.missing:
            hint = self._naming_hint()
            yield f"{_count(self.missing)} that {source} lacks: {_listed(self.missing, len(self.missing))}{hint}"

    def _naming_hint(self) -> str:
        """Say how the missing names can be had, or which ones look like them."""
        rule = find_rename(self.missing, self.extra, [*self.targets, *self.misshapen, *self.uncastable])
        if rule is not None:
            return f" (--rename {'='.join(rule)} would make {'it' if len(self.missing) == 1 else 'them'})"
        close = dict.fromkeys(
            name for first in self.missing[:_MOST_NAMES] for name in find_closest(first, self.extra, 1, 0.6)
        )
        return f" (it has {', '.join(close)})" if close else ""


def match_template(source: Mapping[str, tuple[str, Shape]], wanted: Mapping[str, Wanted]) -> LikeMatch:
    """Compare a checkpoint with a template.

    Args:
        source: dtype and shape of each tensor of the checkpoint.
        wanted: what the template wants, as ``read_template`` returns it.

    Example:
        >>> source = {"w": ("float32", (2,)), "w/Adam": ("float32", (2,)), "step": ("int64", ())}
        >>> match = match_template(source, {"w": Wanted("float16", (2,)), "step": Wanted("int64", ())})
        >>> dict(match.targets), match.extra, match.ok
        ({'w': 'float16', 'step': 'int64'}, ('w/Adam',), True)
    """
    targets: dict[str, str] = {}
    extra: list[str] = []
    misshapen: dict[str, Difference] = {}
    uncastable: dict[str, Difference] = {}
    for name, (dtype, shape) in source.items():
        expected = wanted.get(name)
        if name == _OBJECT_GRAPH:
            targets[name] = dtype
        elif expected is None:
            extra.append(name)
        elif expected.shape is not None and expected.shape != shape:
            misshapen[name] = Difference(_format_shape(shape), _format_shape(expected.shape))
        elif dtype != expected.dtype and not can_cast(dtype, expected.dtype):
            uncastable[name] = Difference(dtype, expected.dtype)
        else:
            targets[name] = expected.dtype
    missing = tuple(name for name in wanted if name not in source and name != _OBJECT_GRAPH)
    return LikeMatch(targets, tuple(extra), missing, misshapen, uncastable)


def _difference_cause(differences: Mapping[str, Difference], kind: str, source: str) -> Iterator[str]:
    if differences:
        texts = (f"{name}: {found} in {source}, {wanted} wanted" for name, (found, wanted) in differences.items())
        yield f"{_count(differences)} of another {kind}: {_listed(texts, len(differences))}"


def _count(names: Collection[str]) -> str:
    return f"{len(names):,} tensor{'s' if len(names) != 1 else ''}"


def _listed(texts: Iterable[str], count: int) -> str:
    """Return the first few of many texts."""
    more = f" and {count - _MOST_NAMES:,} more" if count > _MOST_NAMES else ""
    return ", ".join(islice(texts, _MOST_NAMES)) + more


def _format_shape(shape: Shape) -> str:
    return f"[{','.join(map(str, shape))}]"


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def find_rename(missing: Collection[str], extra: Collection[str], taken: Collection[str]) -> tuple[str, str] | None:
    """Return what beginning to replace by what, so that names that nobody wants become all those that are missing.

    Args:
        missing: names that are wanted, at least one.
        extra: names that are there and not wanted.
        taken: names that are there and wanted, which the replacement must leave alone.

    Example:
        >>> find_rename(["net/a/w", "net/b/w"], ["model/a/w", "model/b/w", "model/c/w"], ["step"])
        ('model/', 'net/')
    """
    if len(extra) > _MOST_TO_COMPARE:
        return None
    first = next(iter(missing))
    heads = {_differing_heads(name, first) for name in extra if _last(name) == _last(first)}
    for old, new in sorted(heads, key=lambda rule: (len(rule[1]), rule))[:_MOST_RULES]:
        renamed = {new + name.removeprefix(old) for name in extra if name.startswith(old)}
        others = {name for name in extra if not name.startswith(old)} | set(taken)
        if renamed.issuperset(missing) and not renamed & others and not any(name.startswith(old) for name in taken):
            return old, new
    return None


def _differing_heads(left: str, right: str) -> tuple[str, str]:
    """Return what two names begin with before the whole parts in which they end alike."""
    left_parts, right_parts = left.split("/"), right.split("/")
    most = min(len(left_parts), len(right_parts))
    same = next((count for count in range(most) if left_parts[-1 - count] != right_parts[-1 - count]), most)
    tail = "/".join(left_parts[len(left_parts) - same :])
    return left.removesuffix(tail), right.removesuffix(tail)
