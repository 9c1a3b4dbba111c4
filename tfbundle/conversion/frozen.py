"""Halving a frozen graph: its constants are float16 in the file and float32 for all that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.graph_file import blaming, from_unchanged, open_graph_file
from tfbundle.bundle.target import IfExists, check_room, check_vacant
from tfbundle.casting.half import HalfCaster
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.choosing.deciding import decide
from tfbundle.choosing.decisions import OVERFLOW, Decision
from tfbundle.conversion.request import Request
from tfbundle.errors import BundleExistsError, CastError, FormatError, UnsupportedError
from tfbundle.format.dtypes import named_data_type
from tfbundle.graph.check import check_graph
from tfbundle.graph.constants import Constant, find_constants, insert_casts, iter_content
from tfbundle.graph.library import Graph
from tfbundle.graph.outline import Content, read_outline
from tfbundle.graph.sources import Memory
from tfbundle.reporting.graph_report import GraphReport
from tfbundle.reporting.listed import ListedReports
from tfbundle.reporting.report import CastReport, TensorReport
from tfbundle.storage import paths
from tfbundle.storage.base import ReadableFile, Storage, staging
from tfbundle.storage.stream import Stream, write_stream
from tfbundle.streaming.run import RunOptions

SUBNORMAL = "more than 1 % would be subnormal or zero"
FLOAT16, FLOAT32 = named_data_type("float16"), named_data_type("float32")
_FEW = 64
SMALL = f"fewer than {_FEW} values"
_MOST_SUBNORMAL = 0.01
_RULE = "--rule "
_UNMEASURED = "errors of constants are not measured, only counts"
_REMEDY = "--on-overflow inf, clamp or keep would allow it"


class _Constant(NamedTuple):
    """A constant, what becomes of it, and what the cast does to its numbers."""

    constant: Constant
    decision: Decision
    stats: CastStats | None


def halve_frozen(source: str, target: str, request: Request, options: RunOptions, storage: Storage) -> CastReport:
    """Write a copy of a frozen graph whose constants are stored as float16, each behind a Cast of the same name.

    Constants of fewer than 64 values stay as they are, and so do those of which float16 would lose more than every
    hundredth number, unless a rule names them. The graph is held in memory, without its large constants.

    Args:
        source: a ``.pb`` file with a GraphDef.
        target: the file that is written, or a directory.
        request: which constants, by the names of their nodes, in functions after ``function/``; without new names.
        options: overwriting, dry run.
        storage: where both are.

    Raises:
        BundleExistsError: the target is there already, or is the source.
        FormatError: the graph is damaged.
        CastError: values overflow and the policy does not allow it.
        UnsupportedError: the file holds no graph.
        ValueError: what is asked for makes no sense for constants, or a pattern matches none.
    """
    _check_request(request)
    path = target
    if paths.ends_as_directory(target) or storage.is_directory(target):
        path = paths.join(target, paths.basename(source))
    _check_place(source, path, options.if_exists, storage)
    with blaming(source), open_graph_file(source, storage) as file:
        data, contents = read_outline(file)
        graph = Graph(Memory(data))
        if not len(graph.main.nodes):
            raise UnsupportedError("no graph: a .pb file that is converted holds a frozen GraphDef")
        check_graph(graph)
        constants, stats = _decide(find_constants(graph, contents), request, file)
        chosen = [each.constant for each in constants if each.decision.action == "cast"]
        stream = Stream(file.nbytes, partial(iter_content, Content(0, file.nbytes), file))
        if chosen:
            names = insert_casts(chosen)
            check_graph(graph.changed)
            streams = _make_streams(chosen, names, contents, request.policy, file)
            stream = graph.stream(streams, {new: old for old, new in names.items()})
        if not options.dry_run:
            _write(path, from_unchanged(file, stream), storage)
        report = GraphReport("frozen", source, path, file.nbytes, stream.nbytes, len(chosen))
    return _report(source, path, constants, stats, report, options)


def _make_streams(
    chosen: list[Constant],
    names: Mapping[str, str],
    contents: Mapping[str, Content],
    policy: CastPolicy,
    file: ReadableFile,
) -> dict[str, Stream]:
    """Return how to write the contents that stayed in the file, by the names that their nodes have now.

    Args:
        chosen: the constants that are cast.
        names: their new names.
        contents: all contents, by old names.
        policy: how to cast.
        file: where they are.
    """
    cast = {constant.name: constant for constant in chosen if constant.content is not None}
    streams = {
        name: Stream(content.nbytes, partial(iter_content, content, file))
        for name, content in contents.items()
        if name not in cast
    }
    for constant in cast.values():
        streams[names[constant.name]] = Stream(constant.nbytes // 2, partial(_iter_halves, constant, policy, file))
    return streams


def _iter_halves(constant: Constant, policy: CastPolicy, file: ReadableFile) -> Iterator[bytes]:
    for halves, _ in _iter_cast(constant, policy, file):
        yield halves.astype("<u2", copy=False).tobytes()


def _iter_cast(
    constant: Constant, policy: CastPolicy, file: ReadableFile
) -> Iterator[tuple[NDArray[np.uint16], StatsTable]]:
    """Yield a constant's values as float16, window by window, and what the cast did to them."""
    caster = HalfCaster(policy.on_overflow)
    for values in constant.iter_values(file):
        halves = np.empty(len(values), np.uint16)
        yield halves, caster.cast(values.view(np.uint32), halves)


def _check_request(request: Request) -> None:
    selection = request.selection
    if (
        not request.naming.changes_nothing
        or selection.drop
        or selection.select
        or selection.like
        or selection.strip_training
    ):
        raise ValueError("constants of a frozen graph keep their names, and none can be left out")
    if any(dtype not in ("float16", "float32") for _, dtype in request.policy.rules):
        raise ValueError("constants of a frozen graph become float16, or stay float32")


def _check_place(source: str, path: str, if_exists: IfExists, storage: Storage) -> None:
    if storage.is_same(source, path):
        raise BundleExistsError(f"the target is the source {source}; choose another one", path)
    if storage.is_directory(path):
        raise BundleExistsError("exists already, and is a directory", path)
    check_vacant([path], if_exists, storage)


def _decide(constants: list[Constant], request: Request, file: ReadableFile) -> tuple[list[_Constant], StatsTable]:
    """Decide about every constant, by its name and by what the cast does to its numbers, and cast it.

    Raises:
        CastError: values overflow and the policy does not allow it.
    """
    names = [constant.name for constant in constants]
    if len(set(names)) < len(names):
        raise FormatError("two constants have the same name")
    dtypes = np.full(len(constants), FLOAT32.number, np.uint8)
    decisions = decide(names, dtypes, request.selection, request.policy, ()) if constants else []
    table, found = StatsTable(len(constants)), []
    for at, (constant, decision) in enumerate(zip(constants, decisions, strict=True)):
        judged, stats = _treat(constant, decision, request.policy, file)
        if stats is not None:
            table.add(at, stats)
        found.append(_Constant(constant, judged, None if stats is None else stats[0]))
    _check_overflow(found, table, request.policy)
    return found, table


def _treat(
    constant: Constant, decision: Decision, policy: CastPolicy, file: ReadableFile
) -> tuple[Decision, StatsTable | None]:
    """Cast a constant if it should be, and if its numbers bear it; return what became of it."""
    is_asked_for = decision.reason.startswith(_RULE)
    if decision.action != "cast":
        return decision, None
    if constant.num_elements < _FEW and not is_asked_for:
        return Decision("keep", SMALL), None
    stats, halves = StatsTable(1), None
    for halves, found in _iter_cast(constant, policy, file):  # noqa: B007 - there is one window where they are wanted
        stats.add(0, found)
    judged = _judge(stats[0], decision, policy, is_asked_for=is_asked_for)
    if judged.action != "cast":
        return judged, None
    constant.store(None if constant.content else halves)
    return judged, stats


def _judge(stats: CastStats, decision: Decision, policy: CastPolicy, *, is_asked_for: bool) -> Decision:
    if stats.overflow and policy.on_overflow == "keep":
        return Decision("keep", OVERFLOW)
    if stats.underflow + stats.subnormal > _MOST_SUBNORMAL * stats.elements and not is_asked_for:
        return Decision("keep", SUBNORMAL)
    return decision


def _check_overflow(constants: list[_Constant], table: StatsTable, policy: CastPolicy) -> None:
    found = np.flatnonzero(table.overflow)
    if policy.on_overflow != "error" or not len(found):
        return
    worst, *others = found[np.argsort(-table.largest[found], kind="stable")].tolist()
    names = tuple(constants[other].constant.name for other in others)
    count, largest = int(table.overflow[worst]), float(table.largest[worst])
    raise CastError(constants[worst].constant.name, count, largest, _REMEDY, names)


def _write(path: str, stream: Stream, storage: Storage) -> None:
    check_room(path, stream.nbytes, storage)
    with staging(storage, replace=True) as stage:
        write_stream(stream, stage.create(path))
        stage.publish_over(path)


def _report(
    source: str,
    path: str,
    constants: list[_Constant],
    stats: StatsTable,
    graph: GraphReport,
    options: RunOptions,
) -> CastReport:
    reports = [_report_one(each) for each in constants]
    return CastReport(
        source,
        path,
        options.dry_run,
        sum(report.source_nbytes for report in reports),
        sum(report.target_nbytes for report in reports),
        ListedReports(reports, stats),
        (_UNMEASURED,) if options.measure else (),
        graph,
    )


def _report_one(found: _Constant) -> TensorReport:
    constant, decision, stats = found
    is_cast = decision.action == "cast"
    dtype = FLOAT16 if is_cast else FLOAT32
    nbytes = constant.nbytes // 2 if is_cast else constant.nbytes
    name = constant.name
    return TensorReport(
        name,
        name,
        decision.action,
        decision.reason,
        constant.shape,
        FLOAT32.name,
        dtype.name,
        constant.nbytes,
        nbytes,
        stats=stats,
    )
