"""The graph that is converted with a checkpoint: it restores float16 then, and its variables stay float32."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tfbundle.bundle.graph_file import blaming, read_graph_file
from tfbundle.bundle.reader import BundleReader
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.choosing.names import TensorNames
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import named_data_type
from tfbundle.format.meta_graph import MAX_GRAPH_NBYTES
from tfbundle.format.naming import key_to_name
from tfbundle.format.slices import parse_shape_and_slice, resolve_slice
from tfbundle.graph.models import Model, Rewritten, settle
from tfbundle.pb import parse_message
from tfbundle.reporting.graph_report import GraphReport, Kind
from tfbundle.storage.base import Storage
from tfbundle.streaming.plan import Plan

_ADVICE = "--graph leave converts the checkpoint alone"
_MESSAGES = {"SavedModel": "SavedModel", "meta": "MetaGraphDef"}


class _Result(NamedTuple):
    contents: bytes
    done: Rewritten


class Companion:
    """A graph, and what becomes of it.

    Args:
        kind: what file it is.
        path: where.
        storage: likewise.

    Raises:
        BundleNotFoundError: there is no such file.
        FormatError: it is damaged.
    """

    def __init__(self, kind: Kind, path: str, storage: Storage) -> None:
        self.kind = kind
        self.path = path
        with _advising(path):
            self._contents = read_graph_file(path, storage)
            self._message = parse_message(_MESSAGES[kind], self._contents)
            if kind == "SavedModel" and not self._message.meta_graphs:
                raise FormatError("not a SavedModel: no graph in it")
        self._models: list[Model] = []
        self._result: _Result | None = None

    @property
    def _graphs(self) -> list[Any]:
        return list(self._message.meta_graphs) if self.kind == "SavedModel" else [self._message]

    def limit(self, bundle: BundleReader, names: TensorNames, decisions: Decisions) -> Decisions:
        """Return the decisions with those tensors kept that the graph cannot restore as float16.

        Raises:
            FormatError, UnsupportedError: as ``Model``.
            ValueError: a tensor would become anything but float16.
        """
        is_cast = decisions.are("cast")
        if (decisions.dtypes[is_cast] != named_data_type("float16").number).any():
            raise ValueError("beside its graph, a checkpoint becomes float16 only; --graph leave converts it alone")
        with _advising(self.path):
            self._models = self._models or [Model(graph, names.graph) for graph in self._graphs]
            places = {name: at for at, name in enumerate(names) if is_cast[at]}
            reasons = settle(self._models, places.keys(), _Parts(bundle).has_part)
        kept: dict[Decision, list[int]] = {}
        for name, reason in reasons.items():
            kept.setdefault(Decision("keep", reason), []).append(places[name])
        return decisions.replaced(kept)

    def rewrite(self, plan: Plan) -> bytes:
        """Return the graph for what a plan makes of the checkpoint; where nothing is cast or dropped, as it was.

        Raises:
            UnsupportedError: it cannot be made.
        """
        if self._result is None:
            with _advising(self.path):
                self._result = self._rewrite(_names(plan, "cast"), _names(plan, "drop"))
        return self._result.contents

    def _rewrite(self, cast: Collection[str], dropped: Collection[str]) -> _Result:
        steps = [step for model in self._models for step in (model.reduce(dropped), model.convert(cast))]
        done = Rewritten(*map(sum, zip(*steps, strict=True)))
        if done == Rewritten():
            return _Result(self._contents, done)
        if self._message.ByteSize() > MAX_GRAPH_NBYTES:
            raise UnsupportedError(f"the graph would take more than {MAX_GRAPH_NBYTES} bytes")
        return _Result(self._message.SerializeToString(deterministic=True), done)

    @property
    def contents(self) -> bytes:
        """The graph as it is to be written."""
        return self._result.contents if self._result else self._contents

    def report(self, target: str) -> GraphReport:
        """Return what became of the graph.

        Args:
            target: path of the new one.
        """
        contents, done = self._result or _Result(self._contents, Rewritten())
        return GraphReport(
            self.kind,
            self.path,
            target,
            len(self._contents),
            len(contents),
            done.num_casts,
            done.num_functions,
            done.num_removed,
        )


@contextmanager
def _advising(path: str) -> Iterator[None]:
    """Add the path of the graph to errors, and what can be done without it."""
    with blaming(path):
        try:
            yield
        except FormatError as error:
            raise FormatError(f"{error.reason}; {_ADVICE}", error.path, error.part) from error
        except UnsupportedError as error:
            raise UnsupportedError(f"{error.reason}; {_ADVICE}", error.path) from error


def _names(plan: Plan, action: Any) -> set[str]:
    rows = plan.tensor_rows[np.flatnonzero(plan.decisions.are(action))].tolist()
    return {key_to_name(plan.index.keys_in_order[row]) for row in rows}


class _Parts:
    """The parts in which a bundle stores its tensors."""

    def __init__(self, bundle: BundleReader) -> None:
        self._bundle = bundle

    @cached_property
    def _boxes(self) -> dict[str, set[Any]]:
        return {}

    def has_part(self, name: str, text: str) -> bool:
        """Tell whether a tensor is stored as the part that a graph asks for; empty text is for the whole of it."""
        entry = self._bundle.entry(name)
        if not text or not entry.slices:
            return not text and not entry.slices
        shape, extents = parse_shape_and_slice(text)
        if name not in self._boxes:
            self._boxes[name] = {resolve_slice(each, entry.shape) for each in entry.slices}
        return shape == entry.shape and resolve_slice(extents, shape) in self._boxes[name]
