from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfbundle
from tests.support.handmade import files_of
from tests.support.partitions import Piece, partitioned_bundle
from tfbundle import Naming, Selection, halve
from tfbundle.choosing.names import TensorNames
from tfbundle.choosing.rename import NOT_MAPPED, REPLACED, rename_tensors
from tfbundle.format.object_graph import TrackableObject

NAMES = ("enc/w", "enc/b", "dec/w", "step")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def new_names(names: Any, naming: Naming, dropped: Any = ()) -> dict[str, str]:
    return dict(rename_tensors(names, naming, dropped).names)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([("enc/", "encoder/")], {"enc/w": "encoder/w", "enc/b": "encoder/b"}),
        ([("enc/", "x/"), ("x/w", "y")], {"enc/w": "y", "enc/b": "x/b"}),
        ([("re:(.*)/w$", r"\1/kernel")], {"enc/w": "enc/kernel", "dec/w": "dec/kernel"}),
        ([("re:c/", "C/")], {"enc/w": "enC/w", "enc/b": "enC/b", "dec/w": "deC/w"}),
        ([("", "model/")], {name: f"model/{name}" for name in NAMES}),
        (
            [("enc/", "tmp/"), ("dec/", "enc/"), ("tmp/", "dec/")],
            {"enc/w": "dec/w", "enc/b": "dec/b", "dec/w": "enc/w"},
        ),
        ([("enc/", "")], {"enc/w": "w", "enc/b": "b"}),
        ([("enc/", "enc/")], {}),
        ([("re:^step$", "step"), ("step", "s")], {"step": "s"}),
    ],
)
def test_rules(rules: list[tuple[str, str]], expected: dict[str, str]) -> None:
    assert new_names(NAMES, Naming(rename=tuple(rules))) == expected


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        (Naming(strip_prefix="enc/"), {"enc/w": "w", "enc/b": "b"}),
        (Naming(strip_prefix=("enc", "/")), {"enc/w": "w", "enc/b": "b"}),
        (Naming(strip_prefix=("enc/", "dec/"), map={"dec/w": "v"}, map_rest="keep"), None),
        (Naming(add_prefix="m/"), {name: f"m/{name}" for name in NAMES}),
        (Naming((("m/", "x"),), (), "m/"), None),
        (
            Naming((("w", "kernel"),), "enc/", "m/"),
            {"enc/w": "m/kernel", "enc/b": "m/b", "dec/w": "m/dec/w", "step": "m/step"},
        ),
    ],
)
def test_prefixes_go_first_and_come_last(naming: Naming, expected: dict[str, str] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="matches none of the"):
            new_names(NAMES, naming)
    else:
        assert new_names(NAMES, naming) == expected


@pytest.mark.parametrize(
    ("naming", "message"),
    [
        (Naming((("encc/", "x/"),)), r"--rename encc/=x/ matches none of the 4 tensors; close names: .*enc/"),
        (Naming(strip_prefix="model/"), r"--strip-prefix model/ matches none of the 4 tensors"),
        (Naming((("enc/", "dec/"),)), r"enc/w and dec/w would both be called dec/w.*--on-collision replace"),
        (Naming((("re:enc/.*", "x"),)), r"enc/w and enc/b would both be called x: .* leave some out with --drop$"),
        (Naming((("re:/.", ""),), on_collision="replace"), "enc/w and enc/b would both be called enc"),
        (Naming((("re:^.*/w", "step"),), on_collision="replace"), "enc/w and dec/w and step would both be called step"),
        (Naming((("step", ""),)), "cannot rename step to '': it leaves no name"),
        (Naming(strip_prefix="step"), "cannot rename step to '': it leaves no name"),
        (Naming((("step", GRAPH),)), "only the object graph has this name"),
        (Naming((("step", "\0x"),)), "a byte 0"),
        (Naming((("step", "\ud800"),)), "no Unicode text"),
        (Naming(map={"step": f"step{VALUE}"}), "no object of the checkpoint has the value; leave out the ending"),
    ],
)
def test_names_that_cannot_be(naming: Naming, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rename_tensors(NAMES, naming)


def test_many_collisions_are_counted() -> None:
    names = [f"{scope}/{number}" for scope in "ab" for number in range(10)]
    with pytest.raises(ValueError, match=r"a/0 and b/0 would .* a/2 and b/2 would both be called b/2; and 7 more: "):
        rename_tensors(names, Naming((("a/", "b/"),)))


def test_dropped_tensors_are_matched_and_in_nobodys_way() -> None:
    naming = Naming((("enc/w", "dec/w"), ("step", "")))
    assert new_names(NAMES, naming, {"dec/w", "step"}) == {"enc/w": "dec/w"}


def test_a_renamed_tensor_replaces_the_one_that_has_its_name() -> None:
    names = ("w", "w/ExponentialMovingAverage", "b", "b/ExponentialMovingAverage", "moving_mean")
    naming = Naming((("re:/ExponentialMovingAverage$", ""),), on_collision="replace")
    renaming = rename_tensors(names, naming)
    assert renaming.names == {"w/ExponentialMovingAverage": "w", "b/ExponentialMovingAverage": "b"}
    assert renaming.left_out == {"w": REPLACED, "b": REPLACED}


# Maps.


def test_only_what_a_map_lists_is_written() -> None:
    renaming = rename_tensors(NAMES, Naming(map={"enc/w": "a", "step": "step", "dec/w:0": "enc/w"}))
    assert renaming.names == {"enc/w": "a", "dec/w": "enc/w"}
    assert renaming.left_out == {"enc/b": NOT_MAPPED}


def test_the_rest_can_be_kept_and_renamed() -> None:
    naming = Naming((("b", "bias"),), "enc/", "m/", map={"enc/w": "enc/w", "dec/w": "x"}, map_rest="keep")
    renaming = rename_tensors(NAMES, naming)
    assert renaming.names == {"dec/w": "x", "enc/b": "m/bias", "step": "m/step"}
    assert renaming.left_out == {}


def test_name_that_ends_in_0_itself() -> None:
    assert new_names(["a", "a:0"], Naming(map={"a:0": "b"})) == {"a:0": "b"}


def test_names_of_tf1_variables_lose_their_zero_on_both_sides_of_a_map() -> None:
    assert new_names(["a"], Naming(map={"a:0": "b:0"})) == {"a": "b"}
    assert new_names(["a"], Naming(map={"a": "b:0"})) == {"a": "b:0"}
    assert new_names(["a", "a:0"], Naming(map={"a:0": "b:0"})) == {"a:0": "b:0"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"encw": "x"}, "^1 of 1 names in --map are not in the checkpoint: encw; close names: enc/w"),
        ({"a": "1", "b": "2", "c": "3", "d": "4", "step": "5"}, "^4 of 5 names in --map .*: a.*; b.*; c.*; and 1 more"),
        ({"step": "x", "step:0": "y"}, "--map lists step twice, as step and as step:0"),
        ({"step:0:0": "x"}, "not in the checkpoint"),
        ({"step": ""}, "it leaves no name"),
        ({"step": "x", "enc/w": "x"}, "would both be called x"),
    ],
)  # fmt: skip
def test_maps_that_cannot_be(names: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rename_tensors(NAMES, Naming(map=names))


@given(st.permutations(["a", "b", "c", "d"]), st.sets(st.sampled_from("abcd"), min_size=1))
def test_names_can_be_permuted(order: list[str], listed: set[str]) -> None:
    wanted = {old: new for old, new in zip("abcd", order, strict=True) if old in listed}
    renaming = rename_tensors("abcd", Naming(map=wanted))
    assert renaming.names == {old: new for old, new in wanted.items() if old != new}
    assert set(renaming.left_out) == set("abcd") - listed


# TF2 keys.


def tf2_names(*paths: str) -> TensorNames:
    return TensorNames([GRAPH, *(path + VALUE for path in paths)])


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        (Naming((("re:/w$", "/kernel"),)), {f"m/w{VALUE}": f"m/kernel{VALUE}"}),
        (Naming((("m", "n"),)), {f"m/w{VALUE}": f"n/w{VALUE}"}),
        (Naming((("re:/.ATTRIBUTES/VARIABLE_VALUE$", ""),)), {f"m/w{VALUE}": "m/w"}),
        (Naming(strip_prefix="m/"), {f"m/w{VALUE}": f"w{VALUE}"}),
        (Naming(add_prefix="n/"), {f"m/w{VALUE}": f"n/m/w{VALUE}"}),
        (Naming(map={"m/w": "x"}), {f"m/w{VALUE}": f"x{VALUE}"}),
        (Naming(map={"m/w": f"x{VALUE}"}), {f"m/w{VALUE}": f"x{VALUE}"}),
        (Naming(map={f"m/w{VALUE}": f"x{VALUE}"}), {f"m/w{VALUE}": f"x{VALUE}"}),
        (Naming(map={f"m/w{VALUE}": "x"}), {f"m/w{VALUE}": "x"}),
    ],
)
def test_the_ending_of_keys_may_be_left_out(naming: Naming, expected: dict[str, str]) -> None:
    assert new_names(tf2_names("m/w", "save_counter"), naming) == expected


def test_graph_and_save_counter_stay_whatever_the_map() -> None:
    renaming = rename_tensors(tf2_names("a", "b", "save_counter"), Naming(map={"a": "c"}))
    assert renaming.left_out == {f"b{VALUE}": NOT_MAPPED}


def test_a_path_must_have_names() -> None:
    with pytest.raises(ValueError, match="the path of an object has an empty part"):
        rename_tensors(tf2_names("m/w"), Naming(strip_prefix="m"))


@pytest.mark.parametrize(
    ("naming", "new", "place"),
    [
        (Naming((("model/", "net/"),)), f"net/kernel{VALUE}", f"model/kernel{VALUE}"),
        (Naming((("re:^model/kernel$", "w"),)), f"w{VALUE}", f"model/kernel{VALUE}"),
        (Naming((("optimizer/weights/0", "w"),)), f"w{VALUE}", f"optimizer/weights/0{VALUE}"),
        (Naming((("optimizer/weights/0", "a/0"), ("a", "b"))), f"b/0{VALUE}", f"optimizer/weights/0{VALUE}"),
        (Naming(map={"model/kernel": "w"}), f"w{VALUE}", f"model/kernel{VALUE}"),
        (Naming(map={"dense/kernel": "w"}), f"w{VALUE}", f"model/kernel{VALUE}"),
    ],
)
def test_weights_under_an_optimizers_path(naming: Naming, new: str, place: str) -> None:
    key = f"optimizer/weights/0{VALUE}"
    graph = (
        TrackableObject((("optimizer", 1), ("model", 4)), (), ()),
        TrackableObject((("iter", 5), ("learning_rate", 5), ("weights", 2)), (), ()),
        TrackableObject((("0", 3),), (), ()),
        TrackableObject((), (key,), (), ("dense/kernel",)),
        TrackableObject((("kernel", 3),), (), ()),
        TrackableObject((), (), ()),
    )
    renaming = rename_tensors(TensorNames([GRAPH, key], graph), naming)
    assert renaming.names == {key: new}
    assert renaming.places == {key: place}


# Whole checkpoints.


@pytest.mark.parametrize(
    ("naming", "message"),
    [(Naming((("a", "b"),)), "both be called b"), (Naming(map={"c": "b"}), "not in the checkpoint")],
)
def test_bad_wish_stops_before_any_byte_moves(tmp_path: Path, naming: Naming, message: str) -> None:
    tfbundle.save(tmp_path / "m", {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)})
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match=message):
        halve(tmp_path / "m", tmp_path / "h" / "m", naming=naming)
    assert files_of(tmp_path) == before
    assert not (tmp_path / "h").exists()


def test_renamed_tensors_keep_their_values(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"a/w": np.arange(3, dtype=np.float32), "a/n": np.int64(5), "z": np.array([b"x"])})
    report = halve(tmp_path / "m", tmp_path / "h", naming=Naming(rename=(("a/", "b/"), ("z", "0"))))
    found = tfbundle.load(tmp_path / "h")
    assert {name: value.tolist() for name, value in found.items()} == {"0": [b"x"], "b/n": 5, "b/w": [0.0, 1.0, 2.0]}
    assert {tensor.name: tensor.target_name for tensor in report.tensors} == {"a/n": "b/n", "a/w": "b/w", "z": "0"}
    assert tfbundle.verify(tmp_path / "h").ok


def test_mapped_tensors_keep_their_values_and_others_go(tmp_path: Path) -> None:
    tensors = {name: np.full(2, number, np.float32) for number, name in enumerate(("a", "b", "c", "d"))}
    tfbundle.save(tmp_path / "m", tensors)
    naming = Naming(map={"a": "b", "b": "a", "c": "c"})
    report = halve(tmp_path / "m", tmp_path / "h", naming=naming)
    found = {name: value.tolist() for name, value in tfbundle.load(tmp_path / "h").items()}
    assert found == {"a": [1, 1], "b": [0, 0], "c": [2, 2]}
    assert report.count_reasons("drop") == {NOT_MAPPED: 1}
    assert tfbundle.verify(tmp_path / "h").ok


def test_kept_slices_are_found_under_the_new_name(tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    pieces = [Piece(((0, 2), (0, -1)), np.s_[0:2, 0:2]), Piece(((2, 2), (0, -1)), np.s_[2:4, 0:2])]
    prefix = partitioned_bundle("w", values, 1, pieces, [0, 0]).write(tmp_path / "m")
    naming = Naming(rename=(("w", "a/longer/name"),))
    halve(prefix, tmp_path / "h", selection=Selection(keep=("w",)), naming=naming)
    with tfbundle.open(tmp_path / "h") as bundle:
        assert list(bundle) == ["a/longer/name"]
        assert len(bundle.entries["a/longer/name"].slices) == 2
        assert np.array_equal(bundle["a/longer/name"], values)


def test_a_hundred_thousand_wrong_names_take_seconds() -> None:
    names = [f"model/layer_{number}/kernel" for number in range(100_000)]
    start = time.perf_counter()
    with pytest.raises(ValueError, match="and 99997 more"):
        rename_tensors(names, Naming(map={f"modle/layer_{number}/kernel": "a" for number in range(100_000)}))
    assert time.perf_counter() - start < 30
