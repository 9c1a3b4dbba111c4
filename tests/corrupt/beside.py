"""Hostile object graphs, V1 checkpoints and ``checkpoint`` files, and TensorFlow's own fuzzing seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from tests.corrupt.cases import (
    BOTH,
    FLOAT,
    HUGE,
    INT32,
    SHARD,
    STRING,
    T_ENTRY,
    T_VALUES,
    V_VALUES,
    Case,
    Files,
    Sparse,
    Value,
    extents_proto,
    shard_suffix,
    strings_payload,
    with_entry,
    with_rows,
)
from tests.support.bundles import entry_of
from tests.support.tables import WORKED_TABLE, assemble_table, masked_crc, plain_block, varint
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field

GRAPH_KEY = b"_CHECKPOINTABLE_OBJECT_GRAPH"
W_KEY = "w/.ATTRIBUTES/VARIABLE_VALUE"

Node = tuple[Sequence[tuple[str, int]], Sequence[str], Sequence[tuple[int, str, int]]]


def graph_proto(*nodes: Node) -> bytes:
    """Encode a TrackableObjectGraph: of each node children, keys of values, and slots."""
    found = b""
    for children, keys, slots in nodes:
        node = b"".join(
            bytes_field(1, varint_field(1, number) + bytes_field(2, name.encode())) for name, number in children
        )
        node += b"".join(
            bytes_field(2, bytes_field(1, b"VARIABLE_VALUE") + bytes_field(3, key.encode())) for key in keys
        )
        node += b"".join(
            bytes_field(3, varint_field(1, variable) + bytes_field(2, name.encode()) + varint_field(3, slot))
            for variable, name, slot in slots
        )
        found += bytes_field(1, node)
    return found


def with_graph(graph: bytes, key: str = W_KEY) -> Files:
    """Return a TF2 checkpoint with one variable."""
    payload, crc = strings_payload([graph])
    entries = {
        GRAPH_KEY: entry_proto(STRING, b"", len(payload), crc, len(T_VALUES)),
        key.encode(): T_ENTRY,
    }
    return with_rows(entries, T_VALUES + payload)


def graphs() -> Iterator[Case]:
    """Object graphs; the tensors beside them are sound, and reading them does not depend on the graph."""

    def case(name: str, graph: bytes, key: str = W_KEY) -> Case:
        values: dict[str, Value] = {GRAPH_KEY.decode(): (graph,), key: T_VALUES}
        return Case("object graph", name, lambda: with_graph(graph, key), values, tuple(values))

    leaf: Node = ((), (W_KEY,), ())
    yield case("right", graph_proto(((("w", 1),), (), ()), leaf))
    yield case("empty", b"")
    yield case("no parse", b"\xff\xff")
    yield case("itself its child", graph_proto(((("w", 1), ("me", 0)), (), ()), leaf))
    yield case("cycle", graph_proto(((("w", 1), ("a", 2)), (), ()), leaf, ((("b", 0), ("a", 2)), (), ())))
    for label, number in {**HUGE, "-1": -1, "2": 2}.items():
        yield case(f"child {label} of 2", graph_proto(((("w", 1), ("x", number)), (), ()), leaf))
        yield case(f"slot {label} of 2", graph_proto(((("w", 1),), (), ((1, "m", number),)), leaf))
        yield case(f"slot of {label} of 2", graph_proto(((("w", 1),), (), ((number, "m", 1),)), leaf))
    yield case("slot of itself", graph_proto(((("w", 1),), (), ((0, "m", 0),)), leaf))
    yield case("the same key at two objects", graph_proto(((("w", 1), ("x", 2)), (), ()), leaf, leaf))
    yield case("the same key twice", graph_proto(((("w", 1),), (), ()), ((), (W_KEY, W_KEY), ())))
    yield case("a key that is the graph's own", graph_proto(((("w", 1),), (), ()), ((), (GRAPH_KEY.decode(),), ())))
    yield case("a key that is not there", graph_proto(((("w", 1),), (), ()), ((), ("x", ""), ())))
    yield case("two children of one name", graph_proto(((("w", 1), ("w", 0)), (), ()), leaf))
    yield case("names that are paths", graph_proto(((("../..", 1), ("w", 1), ("", 1), ("/", 1)), (), ()), leaf))
    yield case("names that steer a terminal", graph_proto(((("\x1b[2J\n\u202e", 1), ("w", 1)), (), ()), leaf))
    yield case("name that is no text", bytes_field(1, bytes_field(1, varint_field(1, 0) + bytes_field(2, b"\xff"))))
    yield case("groups 101 deep", b"\x7b" * 101 + b"\x7c" * 101)
    yield case("messages 5,000 deep", nested(5000))
    yield case("20,000 objects in a chain", chain(20_000))
    yield case("3,000 objects in a chain of long names", chain(3_000, "n" * 1000))
    yield case("8,000 objects, 8,000 children each way", star(8_000))
    yield case(
        "300 objects, each the child of each",
        graph_proto(*[(tuple((f"c{to}", to) for to in range(300)), (), ())] * 300),
    )
    yield case(
        "8,000 slots of one variable", graph_proto(((("w", 1),), (), tuple((1, "m", 1) for _ in range(8_000))), leaf)
    )
    deep = "a/" * 5_000 + W_KEY
    yield case("key 5,000 levels deep", graph_proto(((("w", 1),), (), ()), ((), (deep,), ())), deep)
    numbers = entry_of(FLOAT, shape_proto(2, 3), T_VALUES)
    yield Case(
        "object graph",
        "of numbers",
        lambda: with_rows({GRAPH_KEY: numbers}, T_VALUES),
        {GRAPH_KEY.decode(): T_VALUES},
        (GRAPH_KEY.decode(),),
    )
    two, crc = strings_payload([b"", b""])
    pair = entry_proto(STRING, shape_proto(2), len(two), crc)
    yield Case(
        "object graph",
        "of two strings",
        lambda: with_rows({GRAPH_KEY: pair}, two),
        {GRAPH_KEY.decode(): (b"", b"")},
        (GRAPH_KEY.decode(),),
    )
    none = entry_proto(STRING, shape_proto(0), 0, int.from_bytes(masked_crc(b""), "little"))
    yield Case(
        "object graph",
        "of no strings",
        lambda: with_rows({GRAPH_KEY: none}, b""),
        {GRAPH_KEY.decode(): ()},
        (GRAPH_KEY.decode(),),
    )


def nested(depth: int) -> bytes:
    """Encode messages within messages."""
    data = b""
    for _ in range(depth):
        data = bytes_field(1, data)
    return data


def chain(count: int, name: str = "n") -> bytes:
    """Encode objects each of which is the child of the one before, the variable last."""
    nodes: list[Node] = [(((name, number + 1),), (), ()) for number in range(count)]
    return graph_proto(*nodes, ((), (W_KEY,), ()))


def star(count: int) -> bytes:
    """Encode a root with many children, all of which have it as theirs."""
    root: Node = (tuple((f"c{number}", number) for number in range(1, count)), (), ())
    return graph_proto(root, *[((("up", 0),), (W_KEY,), ())] * (count - 1))


def v1_meta(*tensors: bytes, versions: bytes = varint_field(1, 1)) -> bytes:
    """Encode the first row of a V1 checkpoint."""
    return bytes_field(1, b"".join(bytes_field(1, tensor) for tensor in tensors) + bytes_field(2, versions))


def v1_tensor(name: bytes, shape: bytes, dtype: int, *slices: Sequence[tuple[int, int | None]]) -> bytes:
    """Encode what the first row says of a tensor."""
    parts = b"".join(bytes_field(4, extents_proto(part)) for part in slices)
    return bytes_field(1, name) + bytes_field(2, shape) + varint_field(3, dtype) + parts


def v1_data(name: bytes, values: bytes) -> bytes:
    """Encode the row of a slice; ``values`` are fields of a TensorProto."""
    return bytes_field(2, bytes_field(1, name) + bytes_field(2, b"") + bytes_field(3, values))


def v1_file(meta: bytes, rows: Mapping[bytes, bytes], kind: int = 0) -> Files:
    """Return the one file of a V1 checkpoint."""
    return {"": assemble_table([(b"\xff" * 9, plain_block([(b"", meta), *sorted(rows.items())]))], kind)}


def floats_field(values: bytes) -> bytes:
    """Encode values as float_val."""
    return bytes_field(5, values)


V1_T = v1_tensor(b"t", shape_proto(2, 3), FLOAT, [(0, None), (0, None)])
V1_V = v1_tensor(b"v", shape_proto(2), FLOAT, [(0, None)])
T_KEY, V_KEY = b"\0t\0\1\1\2\x80\x7f\x80\x7f", b"\0v\0\1\1\1\x80\x7f"
V1_V_ROW = v1_data(b"v", floats_field(V_VALUES))
V1_T_ROW = v1_data(b"t", floats_field(T_VALUES))


def v1() -> Iterator[Case]:
    """V1 checkpoints: tables whose rows hold the values."""

    def case(name: str, meta: bytes, rows: Mapping[bytes, bytes], **values: Value) -> Case:
        return Case("V1", name, lambda: v1_file(meta, rows), values)

    both = v1_meta(V1_T, V1_V)
    rows = {T_KEY: V1_T_ROW, V_KEY: V1_V_ROW}
    yield case("right", both, rows, t=T_VALUES, v=V_VALUES)
    yield case("no first row", b"", rows)
    yield case("first row no parse", b"\xff\xff", rows)
    yield case("first row is data", V1_T_ROW, rows)
    yield case("no tensors", v1_meta(), rows)
    yield case("producer -1", v1_meta(V1_T, versions=varint_field(1, -1)), rows)
    yield case("min_consumer 2", v1_meta(V1_T, versions=varint_field(2, 2)), rows)
    yield case("bad consumer 1", v1_meta(V1_T, versions=varint_field(3, 1)), rows)
    known: dict[str, Value] = {"v": V_VALUES}
    for label, number in {**HUGE, "-1": -1}.items():
        listed = v1_meta(v1_tensor(b"t", shape_proto(number), FLOAT, [(0, None)]), V1_V)
        yield case(f"dimension {label}", listed, rows, **(known if 0 <= number < 1 << 63 else {}))
        start = v1_tensor(b"t", shape_proto(6), FLOAT, [(number, 2)])
        yield case(f"slice starts at {label}", v1_meta(start, V1_V), rows)
        length = v1_tensor(b"t", shape_proto(6), FLOAT, [(0, number)])
        is_whole = number in (-1, (1 << 64) - 1)  # which is how a slice that spans the dimension is kept
        yield case(f"slice of length {label}", v1_meta(length, V1_V), rows, **(known if is_whole else {}))
    for dtype in (0, 6, 14, 20, 99, 101, -1):
        listed = v1_meta(v1_tensor(b"t", shape_proto(2, 3), dtype, [(0, None), (0, None)]), V1_V)
        yield case(f"dtype {dtype}", listed, rows, **({} if dtype in (0, 99, 101, -1) else known))
    yield case(
        "255 dimensions", v1_meta(v1_tensor(b"t", shape_proto(*[1] * 255), FLOAT, [(0, None)] * 255), V1_V), rows
    )
    yield case(
        "a billion dimensions of 2",
        v1_meta(v1_tensor(b"t", shape_proto(*[2] * 64), FLOAT, [(0, None)] * 64), V1_V),
        rows,
    )
    yield case(
        "dims of terabytes, few values",
        v1_meta(v1_tensor(b"t", shape_proto(1 << 38), FLOAT, [(0, None)]), V1_V),
        {**rows, b"\0t\0\1\1\1\x80\x7f": V1_T_ROW},
        v=V_VALUES,
    )
    yield case("no row", both, {V_KEY: V1_V_ROW}, v=V_VALUES)
    yield case("row no parse", both, {**rows, T_KEY: b"\xff\xff"}, v=V_VALUES)
    yield case("row is empty", both, {**rows, T_KEY: b""}, v=V_VALUES)
    yield case("row of another tensor", both, {**rows, T_KEY: V1_V_ROW}, v=V_VALUES)
    yield case("one value less", both, {**rows, T_KEY: v1_data(b"t", floats_field(T_VALUES[:-4]))}, v=V_VALUES)
    yield case("one byte less", both, {**rows, T_KEY: v1_data(b"t", floats_field(T_VALUES[:-1]))}, v=V_VALUES)
    yield case(
        "values of another type", both, {**rows, T_KEY: v1_data(b"t", bytes_field(7, b"\1\2\3\4\5\6"))}, v=V_VALUES
    )
    integers = v1_meta(v1_tensor(b"t", shape_proto(3), INT32, [(0, None)]), V1_V)
    one = b"\0t\0\1\1\1\x80\x7f"
    for name, packed in {
        "of eleven bytes": b"\x80" * 10 + b"\0",
        "above 64 bits": b"\xff" * 9 + b"\x7f",
        "cut": b"\1\2\x80",
    }.items():
        yield case(
            f"integers {name}", integers, {one: v1_data(b"t", bytes_field(7, packed)), V_KEY: V1_V_ROW}, v=V_VALUES
        )
    yield case("the same tensor twice", v1_meta(V1_T, V1_T, V1_V), rows)
    other = v1_tensor(b"t", shape_proto(6), FLOAT, [(0, None)])
    yield case("the same tensor in two shapes", v1_meta(V1_T, other, V1_V), rows)
    halves = [(0, 3)], [(2, 4)]
    yield case("overlapping slices", v1_meta(v1_tensor(b"t", shape_proto(6), FLOAT, *halves), V1_V), rows, v=V_VALUES)
    yield case(
        "a gap between slices",
        v1_meta(v1_tensor(b"t", shape_proto(6), FLOAT, [(0, 2)], [(3, 3)]), V1_V),
        rows,
        v=V_VALUES,
    )
    yield case("no slices", v1_meta(v1_tensor(b"t", shape_proto(6), FLOAT), V1_V), rows, v=V_VALUES)
    yield case("slices of another rank", v1_meta(v1_tensor(b"t", shape_proto(2, 3), FLOAT, [(0, None)]), V1_V), rows)
    yield case("name that is no text", v1_meta(v1_tensor(b"\xff", shape_proto(1), FLOAT, [(0, None)]), V1_V), rows)
    yield case("groups 5,000 deep", both + b"\x7b" * 5000 + b"\x7c" * 5000, rows)
    bundle = {"": WORKED_TABLE}
    yield Case("V1", "a bundle's index, renamed", lambda: bundle)
    yield Case("V1", "one of two shards", lambda: {"-00000-of-00002": v1_file(both, rows)[""]})
    yield Case(
        "V1",
        "two shards that disagree",
        lambda: {"-00000-of-00002": v1_file(both, rows)[""], "-00001-of-00002": v1_file(v1_meta(other), rows)[""]},
    )
    yield Case(
        "V1",
        "two shards with the same",
        lambda: dict.fromkeys(("-00000-of-00002", "-00001-of-00002"), v1_file(both, rows)[""]),
    )
    yield Case("V1", "10^9 shards", lambda: {"-00000-of-1000000000": v1_file(both, rows)[""]})
    billion = "-00000-of-1000000000"
    yield Case(
        "V1",
        "one of 10^9 shards",
        lambda: {billion: v1_file(both, rows)[""]},
        {"t": T_VALUES, "v": V_VALUES},
        path=billion,
    )
    yield Case(
        "V1", "Snappy bomb", lambda: {"": assemble_table([(b"w", varint(1 << 31) + b"\0\0" + b"\xfe\1\0" * 9)], 1)}
    )
    yield Case("V1", "a terabyte of nothing", lambda: {"": Sparse(1 << 40)})
    yield Case("V1", "1,500 rows in a block", lambda: many_rows(1_500), {}, ("t",))
    yield Case("V1", "1,500 slices of a tensor, one by one", lambda: repeated_meta(1_500), {}, ("t",))


def many_rows(count: int) -> Files:
    """Put very many tensors into one block, which is to be read once and not for each of them."""
    names = [b"n%05d" % number for number in range(count)]
    meta = v1_meta(*(v1_tensor(name, shape_proto(1), FLOAT, [(0, None)]) for name in names))
    return v1_file(meta, {b"\0" + name + b"\0\1\1\1\x80\x7f": v1_data(name, floats_field(bytes(4))) for name in names})


def repeated_meta(count: int) -> Files:
    """List a tensor again for every slice of it."""
    return v1_file(
        v1_meta(*(v1_tensor(b"t", shape_proto(1 << 20), FLOAT, [(number, 1)]) for number in range(count))), {}
    )


def states() -> Iterator[Case]:
    """``checkpoint`` files, which lead to a bundle or nowhere; the directory is opened."""
    from tests.corrupt.tables import TABLE

    bundle: Files = {".index": TABLE, shard_suffix(): SHARD}
    line = 'model_checkpoint_path: "%s"\n'

    def case(name: str, text: str | bytes, ok: bool = True) -> Case:
        contents = text.encode() if isinstance(text, str) else text
        return Case("state", name, lambda: {**bundle, "/checkpoint": contents}, BOTH if ok else {}, path="/")

    yield case("right", line % "model")
    yield case("empty", "")
    yield case("no parse", "\xff\xfe")
    yield case("zeros", bytes(1000))
    yield case("no text", b"\xff\xfe")
    yield case("unknown field", line % "model" + 'x: "y"\n')
    yield case("outside", line % "/etc/model")
    yield case("up and up", line % "../../../model")
    yield case("nul", line % "a\\000b")
    yield case("no UTF-8", line % "\\377")
    yield case("lone surrogate", line % "\\355\\240\\200")
    yield case("newlines", line % "a\\nb")
    yield case("itself", line % "checkpoint")
    yield case("the directory", line % ".")
    yield case("a megabyte of name", line % ("x" * 1_000_000))
    yield case("two megabytes", line % "model" + "#" * 2_000_000)
    yield case("8,000 lines", line % "model" + 'all_model_checkpoint_paths: "model"\n' * 8_000)
    yield case("60,000 empty literals", "model_checkpoint_path: " + '""' * 60_000)
    yield case("150,000 comments", "#\n" * 150_000)
    yield case("brackets 100,000 deep", "a" + "{" * 100_000)
    yield case("known field, nested 100,000 deep", "model_checkpoint_path" + "<" * 100_000)
    yield case(
        "timestamps that are none",
        line % "model" + "all_model_checkpoint_timestamps: nan\nlast_preserved_timestamp: 1e999\n",
    )
    yield case("a number of 100,000 digits", line % "model" + f"last_preserved_timestamp: {'9' * 100_000}\n")
    yield Case("state", "a terabyte", lambda: {**bundle, "/checkpoint": Sparse(1 << 40)}, BOTH, path="/")


def seeds() -> Iterator[Case]:
    """The eight seeds of TensorFlow's checkpoint_reader_fuzz, as bundles and as V1 checkpoints."""
    whole = [(0, None)]
    tensors: dict[str, tuple[bytes, bytes, bytes]] = {
        # the V2 entry, the V1 listing of t, the field of its values
        "extent_end_overflow": (
            entry_proto(FLOAT, shape_proto(6), 0) + bytes_field(7, extents_proto([(6, (1 << 63) - 6)])),
            v1_tensor(b"t", shape_proto(6), FLOAT, [(6, (1 << 63) - 6)]),
            floats_field(T_VALUES),
        ),
        "missing_extent_length": (
            entry_proto(FLOAT, shape_proto(6), 0) + bytes_field(7, bytes_field(1, varint_field(1, 3))),
            v1_tensor(b"t", shape_proto(6), FLOAT, [(3, None)]),
            floats_field(T_VALUES),
        ),
        "missing_tensor_data": (T_ENTRY[:-8], v1_tensor(b"t", shape_proto(6), FLOAT, whole), b""),
        "missing_tensor_type": (T_ENTRY[2:], v1_tensor(b"t", shape_proto(6), 0, whole), floats_field(T_VALUES)),
        "negative_dimension": (
            entry_of(FLOAT, shape_proto(-6), T_VALUES),
            v1_tensor(b"t", shape_proto(-6), FLOAT, whole),
            floats_field(T_VALUES),
        ),
        "negative_extent_start": (
            entry_proto(FLOAT, shape_proto(6), 0) + bytes_field(7, extents_proto([(-1, 3)])),
            v1_tensor(b"t", shape_proto(6), FLOAT, [(-1, 3)]),
            floats_field(T_VALUES),
        ),
        "tensor_size_overflow": (
            entry_of(FLOAT, shape_proto(1 << 32, 1 << 32), T_VALUES),
            v1_tensor(b"t", shape_proto(1 << 32, 1 << 32), FLOAT, whole * 2),
            floats_field(T_VALUES),
        ),
        "unsupported_tensor_type": (
            entry_of(20, shape_proto(6), T_VALUES),
            v1_tensor(b"t", shape_proto(6), 20, whole),
            floats_field(T_VALUES),
        ),
    }
    listed = ("missing_tensor_data", "unsupported_tensor_type")
    for name, (entry, tensor, values) in tensors.items():
        yield Case("seed", f"{name}, V2", partial(with_entry, entry), {"v": V_VALUES}, told="tensor 't'")
        rows = {b"\0t\0\1\1\1\x80\x7f": v1_data(b"t", values), V_KEY: V1_V_ROW}
        known: dict[str, Value] = {"v": V_VALUES} if name in listed else {}
        yield Case("seed", f"{name}, V1", partial(v1_file, v1_meta(tensor, V1_V), rows), known)


def cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from graphs()
    yield from v1()
    yield from states()
    yield from seeds()
