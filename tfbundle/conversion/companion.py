"""The graph that is converted with a checkpoint: it restores float16 then, and its variables stay float32."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tfbundle.bundle.graph_file import blaming, from_unchanged, open_graph_file
from tfbundle.bundle.leftovers import model_directory
from tfbundle.bundle.locate import SAVED_MODEL_FILENAME
from tfbundle.bundle.reader import BundleReader
from tfbundle.choosing.decisions import STRIPPED, Decision, Decisions
from tfbundle.choosing.names import TensorNames
from tfbundle.choosing.optimizer import find_optimizer_state
from tfbundle.choosing.select import Selection
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import named_data_type
from tfbundle.format.meta_graph import MAX_GRAPH_NBYTES
from tfbundle.format.naming import META_SUFFIX, key_to_name
from tfbundle.format.readable import plural
from tfbundle.format.slices import parse_shape_and_slice, resolve_slice
from tfbundle.graph.models import Model, Rewritten, settle
from tfbundle.graph.sources import FileSource, Memory, Source, whole_stream
from tfbundle.graph.strip import output_nodes, strip_training
from tfbundle.graph.wire import Spans, among, framed, take_apart
from tfbundle.reporting.graph_report import GraphReport, Kind
from tfbundle.storage import paths
from tfbundle.storage.base import ReadableFile, Storage
from tfbundle.storage.stream import Stream, joined
from tfbundle.streaming.plan import Plan

_ADVICE = "--graph leave converts the checkpoint alone"
_MOST_NAMES = 5
_STATE_NOTE = "{} of optimizer state become float16, small moments zero: training that goes on from them goes wrong"
_META_GRAPH = 2  # of SavedModel
MOST_GRAPHS = 1000


class _Result(NamedTuple):
    contents: Stream
    done: Rewritten


class Companion:
    """A graph, and what becomes of it.

    Args:
        kind: what file it is.
        path: where.
        file: at that path; stays open until the graph is written.
        selection: whether training is taken out of it, and for which outputs.

    Raises:
        FormatError: it is damaged.
    """

    def __init__(self, kind: Kind, path: str, file: ReadableFile, selection: Selection = Selection()) -> None:
        self._selection = selection
        self._needed: set[str] | None = None  # names of the tensors that are left where training is taken out
        self._num_stripped = 0
        self._num_state = 0  # how many tensors of optimizer state are cast
        self._dropped: set[str] = set()  # names of the tensors that are no longer restored, for no other reason
        self.kind = kind
        self.path = path
        self._file = file
        self._source: Source = Memory(file.read(0, file.nbytes)) if paths.is_url(path) else FileSource(file)
        with _advising(path):
            self._rest, self._places = b"", Spans([(0, file.nbytes)])
            if kind == "SavedModel":
                self._rest, self._places = _find_graphs(self._source)
        self._models: list[Model] = []
        self._result: _Result | None = None

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
            self._models = self._models or [Model(self._source, place, names.graph) for place in self._places]
            decisions = self._strip(names, decisions)
            is_cast = decisions.are("cast")
            places = {name: at for at, name in enumerate(names) if is_cast[at]}
            reasons = settle(self._models, places.keys(), _Parts(bundle).has_part)
        kept: dict[Decision, list[int]] = {}
        for name, reason in reasons.items():
            kept.setdefault(Decision("keep", reason), []).append(places[name])
        state = find_optimizer_state(names, names.graph) if self._selection.optimizer == "cast" else ()
        self._num_state = sum(name in places and name not in reasons for name in state)
        return decisions.replaced(kept)

    def _strip(self, names: TensorNames, decisions: Decisions) -> Decisions:
        """Take training out of the graphs, if that is asked for; return the decisions without what it needed."""
        if not self._selection.strip_training:
            return decisions
        if self._needed is None:
            self._needed = self._strip_graphs()
        useless = [at for at, name in enumerate(names) if name not in self._needed]
        return decisions.replaced({Decision("drop", STRIPPED): useless})

    def _strip_graphs(self) -> set[str]:
        outputs = self._selection.outputs
        found = [(model, nodes) for model in self._models if (nodes := output_nodes(model, outputs))]
        if not found:
            missing = f"no graph with all of {', '.join(outputs)}" if outputs else "no signature names any"
            raise ValueError(f"{self.path}: --strip-training needs --outputs, names of nodes: {missing}")
        needed: set[str] = set()
        for model, nodes in found:
            names, num_removed = strip_training(model, nodes)
            needed |= names
            self._num_stripped += num_removed
        self._models = [model for model, _ in found]  # other graphs of a SavedModel lack the outputs
        return needed

    def rewrite(self, plan: Plan) -> Stream:
        """Return the graph for what a plan makes of the checkpoint; where nothing is cast or dropped, as it was.

        Raises:
            UnsupportedError: it cannot be made.
        """
        if self._result is None:
            with _advising(self.path):
                self._result = self._rewrite(_names(plan, "cast"), _names(plan, "drop"))
        return self._result.contents

    def _rewrite(self, cast: Collection[str], dropped: Collection[str]) -> _Result:
        if not self._selection.strip_training:
            self._dropped = {name for model in self._models for name in model.names if name in dropped}
        steps = [step for model in self._models for step in (model.reduce(dropped), model.convert(cast))]
        done = Rewritten(*map(sum, zip(*steps, strict=True)))
        done = done._replace(num_removed=done.num_removed + self._num_stripped)
        if done == Rewritten():
            return _Result(from_unchanged(self._file, whole_stream(self._source)), done)
        graphs = [model.stream() for model in self._models]
        if self.kind == "SavedModel":
            graphs = [among(self._rest, _META_GRAPH, joined(*(framed(_META_GRAPH, graph) for graph in graphs)))]
        if graphs[0].nbytes > MAX_GRAPH_NBYTES:
            raise UnsupportedError(f"the graph would take more than {MAX_GRAPH_NBYTES} bytes")
        return _Result(from_unchanged(self._file, graphs[0]), done)

    def place(self, prefix: str) -> str:
        """Return the path of the graph of a checkpoint with some prefix."""
        if self.kind == "meta":
            return prefix + META_SUFFIX
        return paths.join(model_directory(prefix) or "", SAVED_MODEL_FILENAME)

    def notes(self, saved_nbytes: int) -> list[str]:
        """Return what the user should know.

        Args:
            saved_nbytes: how much smaller the checkpoint becomes.
        """
        found = self.report("")
        notes = []
        if self._num_state:
            notes.append(_STATE_NOTE.format(plural(self._num_state, "tensor")))
        if names := sorted(self._dropped):
            them = "it" if len(names) == 1 else "them"
            such = ", ".join(names[:_MOST_NAMES]) + (" and others" if len(names) > _MOST_NAMES else "")
            notes.append(f"the graph no longer restores {plural(len(names), 'tensor')}; initialize {them}: {such}")
        return [*notes, *filter(None, [found.growth_note(saved_nbytes)])]

    def report(self, target: str) -> GraphReport:
        """Return what became of the graph.

        Args:
            target: path of the new one.
        """
        contents, done = self._result or (None, Rewritten())
        return GraphReport(
            self.kind,
            self.path,
            target,
            self._source.nbytes,
            contents.nbytes if contents else self._source.nbytes,
            done.num_casts,
            done.num_functions,
            done.num_removed,
        )


@contextmanager
def open_companion(kind: Kind, path: str, storage: Storage, selection: Selection = Selection()) -> Iterator[Companion]:
    """Give a graph whose file is open while the block runs.

    Args:
        kind: what file it is.
        path: where.
        storage: likewise.
        selection: as for ``Companion``.

    Raises:
        BundleNotFoundError: there is no such file.
        FormatError: it is damaged.
    """
    with ExitStack() as stack:
        with _advising(path):
            file = stack.enter_context(open_graph_file(path, storage))
        yield Companion(kind, path, file, selection)


def _find_graphs(source: Source) -> tuple[bytes, Spans]:
    """Return what a SavedModel has beside graphs, and where these lie.

    Raises:
        FormatError: there are none, or far too many.
    """
    parts = take_apart("SavedModel", source, [(0, source.nbytes)], [_META_GRAPH])
    places = parts.spans[_META_GRAPH]
    if not places:
        raise FormatError("not a SavedModel: no graph in it")
    if len(places) > MOST_GRAPHS:
        raise FormatError(f"{len(places)} graphs in a SavedModel, expected at most {MOST_GRAPHS}")
    return parts.rest, places


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
