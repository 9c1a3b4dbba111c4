"""Constants of a graph, such as the weights of a frozen one, stored as float16 behind a Cast.

The Cast takes the constant's name, so that nothing else changes: neither readers nor outputs of that name.

Source: TensorFlow ``core/framework/tensor.proto``, ``graph.proto``; ``python/framework/convert_to_constants.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError
from tfbundle.format.graph import attribute
from tfbundle.graph.bodies import Body
from tfbundle.graph.library import Graph
from tfbundle.graph.node_types import FLOAT, HALF
from tfbundle.graph.outline import Content
from tfbundle.graph.repair import make_cast, set_inputs
from tfbundle.storage.base import ReadableFile
from tfbundle.storage.buffers import WINDOW_NBYTES

_WIDTH = 4
_SUFFIX = "/float16"


class Constant(NamedTuple):
    """A constant of float32 with all its values.

    Attributes:
        name: of its node; after that of its function and a slash, if it is in one.
        body: where it stands.
        node_name: of its node, until a Cast takes it.
        shape: size of each dimension.
        content: where the values are in the file of the graph, if not in the node.
    """

    name: str
    body: Body
    node_name: str
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
        if self.content is not None:
            for window in iter_content(self.content, file):
                yield np.frombuffer(window, "<f4").astype(np.float32, copy=False)
            return
        tensor = self.body.nodes[self.node_name].attr["value"].tensor
        if tensor.tensor_content:
            yield np.frombuffer(tensor.tensor_content, "<f4").astype(np.float32, copy=False)
        else:
            yield np.array(tensor.float_val, np.float32)

    def store(self, halves: NDArray[np.uint16] | None) -> None:
        """Make it a constant of float16, whose readers are not yet served by a Cast.

        Args:
            halves: the bits of the values; None where they are not in the node.
        """
        with self.body.change(self.node_name) as node:
            tensor = node.attr["value"].tensor
            tensor.dtype = node.attr["dtype"].type = HALF
            del tensor.float_val[:]
            if halves is not None:
                tensor.tensor_content = halves.astype("<u2", copy=False).tobytes()


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
            name = f"{body.name}/{node.name}" if body.name else node.name
            yield Constant(name, body, node.name, shape, content)


def insert_casts(constants: Iterable[Constant]) -> dict[str, str]:
    """Put a Cast to float32 behind each of some constants that hold float16 now; the constants get other names.

    Returns:
        The new names of the constants of the main graph, by those that they had, which are those of their Casts.
    """
    by_body: dict[str, list[Constant]] = {}
    for constant in constants:
        by_body.setdefault(constant.body.name, []).append(constant)
    names = {}
    for found in by_body.values():
        body = found[0].body
        if body.function is not None:
            _read_casts(body, {constant.node_name for constant in found})
        added = {constant.node_name: _put_behind(body, constant.node_name) for constant in found}
        if body.function is None:
            names = added
    return names


def _put_behind(body: Body, name: str) -> str:
    """Give a constant's name to a Cast that reads it; return its new name."""
    new = body.unique_name(name + _SUFFIX)
    with body.change(name) as node:
        node.name = new
    body.add(make_cast(name, body.reference(new), (HALF, FLOAT), node.device))
    return new


def _read_casts(body: Body, names: set[str]) -> None:
    """Let all that reads a constant within a function read the Cast of that name: its output is called otherwise."""
    for node in body.nodes:
        inputs = [_read_cast(reference, names) for reference in node.input]
        if inputs != list(node.input):
            with body.change(node.name) as reader:
                set_inputs(reader, inputs)
    for result, reference in list(body.function.ret.items()):
        body.change_function().ret[result] = _read_cast(reference, names)


def _read_cast(reference: str, names: set[str]) -> str:
    name, *output = reference.split(":")
    return f"{name}:y:0" if output == ["output", "0"] and name in names else reference
