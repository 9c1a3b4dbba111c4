"""The nodes of a graph or of a function, as bytes: a node is a message while it is looked at, or changed.

A node takes about twenty times as much memory as a message than in a file, and graphs have 100,000 of them.

Source: TensorFlow ``core/framework/node_def.proto``, ``graph.proto``, ``function.proto``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, KeysView, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from tfbundle.errors import FormatError
from tfbundle.format.graph import label
from tfbundle.graph.outline import encode_before
from tfbundle.graph.sources import Source
from tfbundle.graph.wire import Spans, head
from tfbundle.pb import message_class, parse_message
from tfbundle.storage.stream import Stream

_ABSENT = (0, 0)  # where nodes lie that did not come in these bytes


class Nodes:
    """Nodes by name, in their order.

    Args:
        source: in which the NodeDefs lie.
        spans: where they do.
        owner: of what they are, as messages say it.

    Raises:
        FormatError: one is no NodeDef, or has a name that cannot be referred to, or two have the same.

    Example:
        >>> from tfbundle.graph.sources import Memory
        >>> data = message_class("NodeDef")(name="a", op="NoOp").SerializeToString()
        >>> nodes = Nodes(Memory(data), Spans([(0, len(data))]))
        >>> nodes["a"].op, [node.name for node in nodes]
        ('NoOp', ['a'])
    """

    def __init__(self, source: Source, spans: Spans, owner: str = "") -> None:
        self._source = source
        self._spans = spans
        self._new: dict[int, bytes] = {}  # those that were changed or added
        self._numbers: dict[str, int] = {}
        for number, (start, end) in enumerate(spans):
            node = parse_message("NodeDef", source.read(start, end))
            if not node.name:
                raise FormatError(f"a node{owner} has no name")
            if ":" in node.name or node.name.startswith("^"):
                raise FormatError("a node cannot have this name: it would mean something else", "", label(node) + owner)
            if self._numbers.setdefault(node.name, number) != number:
                raise FormatError("two nodes have this name", "", label(node) + owner)

    def __len__(self) -> int:
        return len(self._spans)

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def __iter__(self) -> Iterator[Any]:
        """Yield copies of all nodes that are there now."""
        for number in range(len(self._spans)):
            yield self._parse(number)

    def __getitem__(self, name: str) -> Any:
        """Return a copy of a node."""
        return self._parse(self._numbers[name])

    def find(self, name: str) -> Any:
        """Return a copy of a node; None if there is none of this name."""
        number = self._numbers.get(name)
        return None if number is None else self._parse(number)

    def number(self, name: str) -> int:
        """Return the place in their order of a node that is there."""
        return self._numbers[name]

    @property
    def names(self) -> KeysView[str]:
        """All names."""
        return self._numbers.keys()

    def _encoded(self, number: int) -> bytes:
        if number in self._new:
            return self._new[number]
        start, end = self._spans[number]
        return self._source.read(start, end)

    def _parse(self, number: int) -> Any:
        return message_class("NodeDef").FromString(self._encoded(number))

    def put(self, name: str, node: Any) -> None:
        """Put a node in the place of another, under a name that no third one has."""
        number = self._numbers.pop(name)
        self._numbers[node.name] = number
        self._new[number] = node.SerializeToString(deterministic=True)

    def add(self, node: Any) -> None:
        """Add a node at the end, under a name that no other has."""
        number = len(self._spans)
        self._spans.append(*_ABSENT)
        self._numbers[node.name] = number
        self._new[number] = node.SerializeToString(deterministic=True)

    def keep(self, names: Collection[str]) -> None:
        """Remove all nodes but those with some names."""
        left = [(name, number) for name, number in self._numbers.items() if name in names]
        left.sort(key=itemgetter(1))
        self._new = {at: self._new[number] for at, (_, number) in enumerate(left) if number in self._new}
        self._spans = Spans(self._spans[number] for _, number in left)
        self._numbers = {name: at for at, (name, _) in enumerate(left)}

    def stream(
        self,
        field: int,
        contents: Mapping[str, Stream] = MappingProxyType({}),
        behind: Mapping[str, str] = MappingProxyType({}),
    ) -> Stream:
        """Return the nodes as a repeated field of a message.

        Args:
            field: its number.
            contents: values of constants that lack theirs, by name.
            behind: which nodes to write directly behind others, by the names of these.
        """
        late = set(behind.values())
        names = sorted(self._numbers, key=self._numbers.__getitem__)  # new names came last
        order = [name for early in names if early not in late for name in (early, behind.get(early)) if name]
        nbytes = sum(sum(map(len, self._iter_encoded(field, name, contents))) for name in order)
        nbytes += sum(content.nbytes for content in contents.values())

        def pieces() -> Iterator[bytes]:
            for name in order:
                yield from self._iter_encoded(field, name, contents)
                yield from contents[name].pieces() if name in contents else ()

        return Stream(nbytes, pieces)

    def _iter_encoded(self, field: int, name: str, contents: Mapping[str, Stream]) -> Iterator[bytes]:
        """Yield a node with tag and length, without what it lacks."""
        number = self._numbers[name]
        missing = contents[name].nbytes if name in contents else 0
        data = encode_before(self._parse(number), missing) if name in contents else self._encoded(number)
        yield head(field, len(data) + missing)
        yield data
