"""Constants of a graph, such as the weights of a frozen one, stored as float16 behind a Cast.

The Cast takes the constant's name, so that nothing else changes: neither readers nor outputs of that name.

Source: TensorFlow ``core/framework/tensor.proto``, ``graph.proto``; ``python/framework/convert_to_constants.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError
from tfbundle.format.graph import attribute
from tfbundle.graph.bodies import Body, Graph
from tfbundle.graph.node_types import FLOAT, HALF
from tfbundle.graph.outline import Content, encode_before
from tfbundle.graph.repair import set_cast
from tfbundle.sstable.varint import encode_varint
from tfbundle.storage.base import ReadableFile
from tfbundle.storage.buffers import WINDOW_NBYTES

_WIDTH = 4
_NODE_TAG = b"\x0a"  # field 1 of GraphDef
_SUFFIX = "/float16"


class Constant(NamedTuple):
    """A constant of float32 with all its values.

    Attributes:
        name: of its node; after that of its function and a slash, if it is in one.
        body: where it stands.
        node: a NodeDef.
        shape: size of each dimension.
        content: where the values are in the file of the graph, if not in the node.
    """

    name: str
    body: Body
    node: Any
    shape: tuple[int, ...]
    content: Content | None = None

    @property
    def num_elements(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return _WIDTH * self.num_elements

    def iter_values(self, file: ReadableFile) -> Iterator[NDArray[np.float32]]:
        """Yield the values in windows, in one dimension.

        Args:
            file: of the graph.
        """
        tensor = self.node.attr["value"].tensor
        if self.content is not None:
            for window in iter_content(self.content, file):
                yield np.frombuffer(window, "<f4").astype(np.float32, copy=False)
        elif tensor.tensor_content:
            yield np.frombuffer(tensor.tensor_content, "<f4").astype(np.float32, copy=False)
        else:
            yield np.array(tensor.float_val, np.float32)

    def store(self, halves: NDArray[np.uint16] | None) -> None:
        """Make it a constant of float16, whose readers are not yet served by a Cast.

        Args:
            halves: the bits of the values; None where they are not in the node.
        """
        tensor = self.node.attr["value"].tensor
        tensor.dtype = self.node.attr["dtype"].type = HALF
        del tensor.float_val[:]
        if halves is not None:
            tensor.tensor_content = halves.astype("<u2", copy=False).tobytes()
        self.body.forget_types(self.node)


def iter_content(content: Content, file: ReadableFile) -> Iterator[bytes]:
    """Yield the bytes of a content in windows."""
    file.expect([content])
    for start in range(0, content.nbytes, WINDOW_NBYTES):
        yield file.read(content.offset + start, min(WINDOW_NBYTES, content.nbytes - start))


def find_constants(graph: Graph, contents: Mapping[str, Content] = MappingProxyType({})) -> list[Constant]:
    """Return the constants of float32 that list all their values; those that repeat one take no room.

    Args:
        graph: where they are.
        contents: of nodes of the main graph that lack theirs, by name.

    Raises:
        FormatError: one has another number of values than its shape says, or is of two types.
    """
    return [
        constant for body in graph for constant in _iter_constants(body, {} if body.function is not None else contents)
    ]


def _iter_constants(body: Body, contents: Mapping[str, Content]) -> Iterator[Constant]:
    for node in body.nodes:
        if node.op != "Const" or attribute(node, "dtype", "type") != FLOAT:
            continue
        tensor = attribute(node, "value", "tensor")
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        if tensor.dtype != FLOAT or tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
            raise FormatError("a constant of float32 without such values", "", body.label(node))
        content = contents.get(node.name)
        nbytes = content.nbytes if content else len(tensor.tensor_content)
        listed = nbytes / _WIDTH if nbytes else len(tensor.float_val)
        expected = math.prod(shape)
        if listed > expected or (nbytes and listed != expected):
            raise FormatError(f"{listed:g} values for {expected} elements", "", body.label(node))
        if listed == expected:
            yield Constant(f"{body.name}/{node.name}" if body.name else node.name, body, node, shape, content)


def insert_casts(constants: Iterable[Constant]) -> dict[str, Any]:
    """Put a Cast to float32 behind each of some constants that hold float16 now; the constants get other names.

    Returns:
        The Casts of the main graph, by the new name of the constant.
    """
    by_body: dict[str, list[Constant]] = {}
    for constant in constants:
        by_body.setdefault(constant.body.name, []).append(constant)
    casts = {}
    for found in by_body.values():
        body = found[0].body
        if body.function is not None:
            _read_casts(body, {constant.node.name for constant in found})
        added = [_put_behind(body, constant.node) for constant in found]
        if body.function is None:
            casts = dict(added)
    return casts


def _put_behind(body: Body, node: Any) -> tuple[str, Any]:
    """Rename a constant; return its new name, and the Cast that has the old one."""
    name = node.name
    node.name = body.unique_name(name + _SUFFIX)
    body.by_name[node.name] = node
    body.forget_types(node)
    cast = body.add(name, "Cast", [body.reference(node)], node.device)
    set_cast(cast, HALF, FLOAT)
    body.forget_types(cast)
    return node.name, cast


class Stream(NamedTuple):
    """The content of a constant that is written from the file it came in.

    Attributes:
        nbytes: how long it will be.
        pieces: makes it.
    """

    nbytes: int
    pieces: Callable[[], Iterable[bytes]]


def iter_encoded(message: Any, casts: Mapping[str, Any], streams: Mapping[str, Stream]) -> Iterator[bytes]:
    """Yield a GraphDef's bytes, a node at a time, each Cast behind its constant; takes the nodes out of the message.

    Args:
        message: a GraphDef.
        casts: as ``insert_casts`` gives them.
        streams: what nodes lack, by name.
    """
    behind = {cast.name for cast in casts.values()}
    for node in message.node:
        if node.name not in behind:
            if node.name in streams:
                yield encode_before(node, streams[node.name].nbytes)
                yield from streams[node.name].pieces()
            else:
                yield _encode_node(node)
            if node.name in casts:
                yield _encode_node(casts[node.name])
    del message.node[:]
    yield message.SerializeToString(deterministic=True)


def encoded_nbytes(message: Any, streams: Mapping[str, Stream]) -> int:
    """Return how many bytes ``iter_encoded`` yields."""
    without = sum(len(_encode_node(node)) for node in message.node if node.name in streams)
    streamed = sum(len(encode_before(node, streams[node.name].nbytes)) for node in message.node if node.name in streams)
    return int(message.ByteSize()) - without + streamed + sum(stream.nbytes for stream in streams.values())


def _encode_node(node: Any) -> bytes:
    data = node.SerializeToString(deterministic=True)
    return _NODE_TAG + encode_varint(len(data)) + bytes(data)


def _read_casts(body: Body, names: set[str]) -> None:
    """Let all that reads a constant within a function read the Cast of that name: its output is called otherwise."""
    for node in body.nodes:
        for at, reference in enumerate(node.input):
            if reference.endswith(":output:0") and reference.partition(":")[0] in names:
                node.input[at] = f"{reference.partition(':')[0]}:y:0"
    for result, reference in list(body.function.ret.items()):
        if reference.endswith(":output:0") and reference.partition(":")[0] in names:
            body.function.ret[result] = f"{reference.partition(':')[0]}:y:0"
