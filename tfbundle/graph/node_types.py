"""Which types the inputs and outputs of a node have: its op's signature with its attributes filled in.

An argument of an op is one value, or a list of them: so many of one type, or one for each type of a list. An attribute
that a node lacks has the op's default, as where defaults were stripped.

Source: TensorFlow ``core/framework/node_def_util.cc`` (``InOutTypesForNode``, ``NameRangesForNode``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.graph import label

FLOAT, HALF = 1, 19
_MOST_TYPES = 64  # of an argument whose types are kept for the next node
_REFERENCE = 100  # added to a dtype's number for a reference to such a value


class Argument(NamedTuple):
    """One argument of a node.

    Attributes:
        name: empty for inputs.
        num_values: how many values it has; whoever made the file may claim any number.
        types: their dtypes by number, references apart; a single one stands for all.
        is_ref: whether they are references to variables.
    """

    name: str
    num_values: int
    types: tuple[int, ...]
    is_ref: bool

    def dtype(self, number: int) -> int:
        """Return the dtype of one of its values."""
        return self.types[number] if len(self.types) > 1 else self.types[0]


class Value(NamedTuple):
    """One value among the inputs or outputs of a node.

    Attributes:
        argument: name of the argument it belongs to.
        number: its place there.
        dtype: by number.
        is_ref: whether it is a reference to a variable.
    """

    argument: str
    number: int
    dtype: int
    is_ref: bool


class Arguments:
    """The inputs or the outputs of a node.

    Example:
        >>> Arguments([Argument("a", 2, (1,), False), Argument("b", 1, (9,), False)]).find(2).dtype
        9
    """

    def __init__(self, arguments: Sequence[Argument]) -> None:
        self._arguments = arguments
        self._ends = list(accumulate(argument.num_values for argument in arguments))

    @property
    def count(self) -> int:
        """How many values there are."""
        return self._ends[-1] if self._ends else 0

    def find(self, number: int) -> Value | None:
        """Return the value of that number; None if there is none."""
        at = bisect_right(self._ends, number)
        if at == len(self._ends):
            return None
        argument = self._arguments[at]
        place = number - (self._ends[at] - argument.num_values)
        return Value(argument.name, place, argument.dtype(place), argument.is_ref)

    def place(self, name: str, number: int) -> int | None:
        """Return the number, among all values, of one of the argument ``name``; None if there is none."""
        at = self._by_name.get(name)
        if at is None or number >= self._arguments[at].num_values:
            return None
        return self._ends[at] - self._arguments[at].num_values + number

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {argument.name: at for at, argument in enumerate(self._arguments)}


class NodeTypes(NamedTuple):
    """What a node reads and gives."""

    inputs: Arguments
    outputs: Arguments


def node_types(node: Any, signature: Any) -> NodeTypes | None:
    """Return the types of a node; None where its attributes do not tell them.

    Args:
        node: a NodeDef.
        signature: OpDef of its op.

    Raises:
        FormatError: an attribute is of the wrong kind.
    """
    defaults = {attribute.name: attribute.default_value for attribute in signature.attr}
    reader = _Attributes(node, defaults)
    inputs = [_argument(argument, reader) for argument in signature.input_arg]
    outputs = [_argument(argument, reader) for argument in signature.output_arg]
    if None in inputs or None in outputs:
        return None
    found = tuple(filter(None, inputs)), tuple(filter(None, outputs))
    is_large = any(len(argument.types) > _MOST_TYPES for arguments in found for argument in arguments)
    return _make(*found) if is_large else _share(*found)


def _make(inputs: tuple[Argument, ...], outputs: tuple[Argument, ...]) -> NodeTypes:
    return NodeTypes(Arguments(inputs), Arguments(outputs))


_share = lru_cache(4096)(_make)  # graphs have many nodes of few kinds


def signature_arguments(arguments: Sequence[Any]) -> dict[str, int]:
    """Return the dtypes of a function's arguments or results by name; those of generic functions are left out."""
    return {each.name: _value_type(each.type) for each in arguments if each.type and not each.number_attr}


class _Attributes:
    """The attributes of a node, or their defaults."""

    def __init__(self, node: Any, defaults: Mapping[str, Any]) -> None:
        self._node = node
        self._defaults = defaults

    def find(self, name: str, kind: str) -> Any:
        """Return the value of an attribute; None if there is none, or it is a placeholder in a generic function."""
        value = self._node.attr[name] if name in self._node.attr else self._defaults.get(name)
        found = None if value is None else value.WhichOneof("value")
        if found is None:
            return None
        if found != kind:
            raise FormatError(f"attribute {name!r} is of the kind {found!r}, expected {kind!r}", "", label(self._node))
        return getattr(value, kind)


def _argument(argument: Any, attributes: _Attributes) -> Argument | None:
    if argument.type_list_attr:
        listed = attributes.find(argument.type_list_attr, "list")
        if listed is None:
            return None
        types = tuple(_value_type(number) for number in listed.type)
        return Argument(argument.name, len(types), types, argument.is_ref)
    count = 1
    if argument.number_attr:
        count = attributes.find(argument.number_attr, "i")
        if count is None or count < 0:
            return None
    number = attributes.find(argument.type_attr, "type") if argument.type_attr else argument.type
    if number is None:
        return None
    return Argument(argument.name, count, (_value_type(number),), argument.is_ref or number > _REFERENCE)


def _value_type(number: int) -> int:
    return number - _REFERENCE if number > _REFERENCE else number
