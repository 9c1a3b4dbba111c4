from __future__ import annotations

import pytest

from tfbundle.choosing.like import Difference, LikeMatch, find_rename, match_template
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.rename import rename_tensors
from tfbundle.format.wanted import Wanted

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
KERNEL = ("float32", (3, 4))
BIAS = ("float32", (4,))


def wants(**tensors: tuple[str, tuple[int, ...] | None]) -> dict[str, Wanted]:
    return {name: Wanted(*kind) for name, kind in tensors.items()}


def test_every_tensor_has_its_place() -> None:
    source = {
        "b": BIAS,
        "b/Adam": BIAS,
        "flag": ("bool", ()),
        "n": ("int64", ()),
        "s": ("string", (2,)),
        "w": KERNEL,
        "x": KERNEL,
    }
    wanted = wants(
        b=("float16", (4,)),
        flag=("int32", ()),
        lost=("float32", ()),
        n=("int32", ()),
        s=("string", (2,)),
        w=("bfloat16", (4, 3)),
        x=("float32", None),
    )
    assert match_template(source, wanted) == LikeMatch(
        targets={"b": "float16", "n": "int32", "s": "string", "x": "float32"},
        extra=("b/Adam",),
        missing=("lost",),
        misshapen={"w": Difference("[3,4]", "[4,3]")},
        uncastable={"flag": Difference("bool", "int32")},
    )


def test_a_tensor_of_another_shape_and_dtype_is_told_once() -> None:
    match = match_template({"a": ("bool", (1,))}, wants(a=("float32", ())))
    assert match.misshapen == {"a": Difference("[1]", "[]")}
    assert not match.uncastable


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("float32", "float16", True),
        ("float16", "float32", True),
        ("float64", "bfloat16", True),
        ("int64", "uint8", True),
        ("string", "string", True),
        ("qint8", "qint8", True),
        ("complex64", "complex64", True),
        ("int32", "float32", False),
        ("float32", "int32", False),
        ("bool", "int32", False),
        ("complex64", "float32", False),
        ("float32", "complex64", False),
        ("qint8", "int8", False),
        ("string", "int8", False),
        ("float8_e5m2", "float32", False),
    ],
)
def test_what_is_cast(source: str, target: str, expected: bool) -> None:
    assert bool(match_template({"w": (source, ())}, wants(w=(target, ()))).targets) is expected


class TestObjectGraph:
    def test_that_of_the_source_is_kept(self) -> None:
        match = match_template({GRAPH: ("string", ()), "w": KERNEL}, wants(w=KERNEL))
        assert match.targets == {GRAPH: "string", "w": "float32"}
        assert match.extra == ()

    def test_that_of_the_template_is_not_missed(self) -> None:
        match = match_template({"w": KERNEL}, wants(w=KERNEL) | {GRAPH: Wanted("string", ())})
        assert match.ok
        assert match.targets == {"w": "float32"}


def message_of(match: LikeMatch) -> str:
    assert not match.ok
    with pytest.raises(ValueError, match="TEMPLATE") as caught:
        match.check("SRC", "TEMPLATE")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_match_passes() -> None:
    match = match_template({"w": KERNEL, "w/Adam": KERNEL}, wants(w=("float16", (3, 4))))
    assert match.ok
    match.check("SRC", "TEMPLATE")


def test_all_causes_are_in_one_message() -> None:
    source = {"w": KERNEL, "step": ("int64", ()), "dense/kernel": KERNEL}
    wanted = wants(w=("float32", (4, 3)), step=("float32", ())) | {"dense/kernels": Wanted("float32", (3, 4))}
    assert message_of(match_template(source, wanted)) == (
        "TEMPLATE wants 1 tensor that SRC lacks: dense/kernels (it has dense/kernel); "
        "1 tensor of another shape: w: [3,4] in SRC, [4,3] wanted; "
        "1 tensor of another dtype: step: int64 in SRC, float32 wanted (floats are cast to floats, and integers to "
        "integers)"
    )


def test_many_names_are_counted() -> None:
    wanted = {f"layer{number}/w": Wanted("float32", None) for number in range(2000)}
    message = message_of(match_template({"x": KERNEL}, wanted))
    assert message == "TEMPLATE wants 2,000 tensors that SRC lacks: layer0/w, layer1/w, layer2/w and 1,997 more"


def test_unrelated() -> None:
    assert message_of(match_template({"x": KERNEL}, {})) == "TEMPLATE wants none of the 1 tensor of SRC"
    with_graph = {GRAPH: ("string", ()), "x": KERNEL, "y": KERNEL}
    assert message_of(match_template(with_graph, {})) == "TEMPLATE wants none of the 2 tensors of SRC"
    assert match_template({}, {}).ok
    assert match_template({GRAPH: ("string", ())}, {}).ok


def test_the_option_in_the_message_makes_the_names() -> None:
    source = {"model/conv/w": KERNEL, "model/conv/b": BIAS, "model/conv/w/Adam": KERNEL, "step": ("int64", ())}
    wanted = {"net/conv/w": Wanted(*KERNEL), "net/conv/b": Wanted(*BIAS), "step": Wanted("int64", ())}
    message = message_of(match_template(source, wanted))
    assert message == (
        "TEMPLATE wants 2 tensors that SRC lacks: net/conv/w, net/conv/b (--rename model/=net/ would make them)"
    )
    renames = rename_tensors(source, Naming((("model/", "net/"),))).names
    renamed = {renames.get(name, name): kind for name, kind in source.items()}
    assert match_template(renamed, wanted).ok


@pytest.mark.parametrize(
    ("missing", "extra", "taken", "expected"),
    [
        (["net/w", "net/b"], ["w", "b", "c"], [], ("", "net/")),
        (["w", "b"], ["net/w", "net/b"], ["step"], ("net/", "")),
        (["a/b/w"], ["c/w", "x/b/w"], [], ("x/", "a/")),
        (["net/w"], ["w"], ["step"], None),  # it would rename the step too
        (["net/w", "net/b"], ["model/w", "other/b"], [], None),
        (["net/w"], ["net/v"], [], None),
        (["w"], ["net/w", "net/step"], ["step"], None),  # there would be two of that name
        (["w"], ["net/w", "net/x", "x"], [], None),
        (["w"], [], [], None),
    ],
)
def test_renaming(missing: list[str], extra: list[str], taken: list[str], expected: tuple[str, str] | None) -> None:
    assert find_rename(missing, extra, taken) == expected
    if expected is not None:
        renames = rename_tensors([*extra, *taken], Naming((expected,))).names
        assert {renames.get(name, name) for name in extra} >= set(missing)
        assert not renames.keys() & set(taken)


def test_renaming_is_given_up_where_it_takes_long() -> None:
    extra = [f"a/{number}" for number in range(10_001)]
    assert find_rename(["b/7"], extra, []) is None
    assert find_rename(["b/7"], extra[:-1], []) == ("a/", "b/")
