from __future__ import annotations

import pytest

from tfbundle.errors import FormatError
from tfbundle.format.wanted import Wanted, unite_wanted, wanted_part


def test_parts_are_collected_in_order() -> None:
    parts = [wanted_part("float32", (4, 2), extents) for extents in (((2, 2), (0, -1)), ((0, 2), (0, -1)))]
    united = Wanted("float32", (4, 2), (((0, 2), (0, -1)), ((2, 2), (0, -1))))
    assert unite_wanted(("w", part) for part in [*parts, parts[0]]) == {"w": united}


@pytest.mark.parametrize("extents", [((0, -1), (0, -1)), ((0, 4), (0, 2)), ((0, 4), (0, -1))])
def test_part_that_is_everything(extents: tuple[tuple[int, int], ...]) -> None:
    assert wanted_part("float32", (4, 2), extents) == Wanted("float32", (4, 2))


def test_names_are_sorted() -> None:
    assert list(unite_wanted((name, Wanted("int8", None)) for name in "bca")) == ["a", "b", "c"]
    assert unite_wanted([]) == {}


@pytest.mark.parametrize("shapes", [(None, (2,)), ((2,), None), ((2,), (2,))])
def test_one_of_two_shapes_is_enough(shapes: tuple[tuple[int, ...] | None, ...]) -> None:
    assert unite_wanted(("w", Wanted("int8", shape)) for shape in shapes) == {"w": Wanted("int8", (2,))}


def test_empty_shape_is_a_shape() -> None:
    with pytest.raises(FormatError, match=r"^tensor 'w': wanted with two shapes: \[\] and \[1\]$"):
        unite_wanted([("w", Wanted("int8", ())), ("w", Wanted("int8", (1,)))])


def test_two_dtypes() -> None:
    with pytest.raises(FormatError, match=r"^tensor 'w': wanted with two dtypes: int8 and string$"):
        unite_wanted([("w", Wanted("int8", None)), ("w", Wanted("string", None))])


def test_error_has_no_path_yet() -> None:
    with pytest.raises(FormatError) as caught:
        unite_wanted([("w", Wanted("int8", None)), ("w", Wanted("string", None))])
    assert (caught.value.path, caught.value.part) == ("", "tensor 'w'")
