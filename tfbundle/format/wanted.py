"""What a graph or another checkpoint wants to find in a checkpoint: a template of its tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from tfbundle.errors import FormatError
from tfbundle.format.entries import Slice
from tfbundle.format.slices import resolve_slice, whole_box

_Known = TypeVar("_Known")


class Wanted(NamedTuple):
    """What a tensor should be.

    Attributes:
        dtype: name of the element type, such as ``"float16"``.
        shape: size of each dimension of the whole tensor; None where the template leaves it open.
        slices: (start, length) in each dimension of each part in which the tensor is read or stored, length -1 for
            all of the dimension; sorted; empty where it is one piece.
    """

    dtype: str
    shape: tuple[int, ...] | None
    slices: tuple[Slice, ...] = ()


def wanted_part(dtype: str, shape: tuple[int, ...], extents: Slice) -> Wanted:
    """Return what a tensor should be of which a part is read; a part that is everything counts as one piece.

    Raises:
        FormatError: the part is not within the tensor.

    Example:
        >>> wanted_part("float32", (4, 3), ((0, 2), (0, -1)))
        Wanted(dtype='float32', shape=(4, 3), slices=(((0, 2), (0, -1)),))
        >>> wanted_part("float32", (4, 3), ((0, 4), (0, -1)))
        Wanted(dtype='float32', shape=(4, 3), slices=())
    """
    is_whole = resolve_slice(extents, shape) == whole_box(shape)
    return Wanted(dtype, shape, () if is_whole else (extents,))


def unite_wanted(found: Iterable[tuple[str, Wanted]]) -> dict[str, Wanted]:
    """Return what each tensor should be, by name in order, from all that is said of it: each part has its say.

    Raises:
        FormatError: what is said of a tensor does not go together.

    Example:
        >>> unite_wanted([("w", Wanted("float32", None)), ("w", Wanted("float32", (2,)))])
        {'w': Wanted(dtype='float32', shape=(2,), slices=())}
    """
    dtypes: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...] | None] = {}
    slices: dict[str, dict[Slice, None]] = {}
    for name, wanted in found:
        dtypes[name] = _agree(name, "dtypes", dtypes.get(name), wanted.dtype) or wanted.dtype
        shapes[name] = _agree(name, "shapes", shapes.get(name), wanted.shape)
        slices.setdefault(name, {}).update(dict.fromkeys(wanted.slices))
    return {name: Wanted(dtypes[name], shapes[name], tuple(sorted(slices[name]))) for name in sorted(dtypes)}


def _agree(name: str, kind: str, left: _Known | None, right: _Known | None) -> _Known | None:
    """Return the one of two values that is known."""
    if left is not None and right is not None and left != right:
        raise FormatError(f"wanted with two {kind}: {_text(left)} and {_text(right)}", "", f"tensor {name!r}")
    return right if left is None else left


def _text(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
