"""Whether bundles are of the same model: the same names, dtypes and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfbundle.bundle.reader import BundleReader

_MOST_NAMES = 3  # of each kind of difference, in a message that must stay one line

Kinds = Mapping[str, tuple[str, tuple[int, ...]]]


def check_alike(bundles: Sequence[BundleReader]) -> None:
    """Refuse bundles that do not hold the same tensors. Reads the indexes alone.

    Raises:
        ValueError: names, dtypes or shapes differ; the message has the first of them.
        FormatError: an entry is damaged.
    """
    last = bundles[-1]
    expected = _kinds(last)
    for bundle in bundles[:-1]:
        found = _kinds(bundle)
        if found != expected:
            raise ValueError(
                f"{bundle.prefix} and {last.prefix} do not hold the same tensors: "
                + "; ".join(_differences(bundle.prefix, found, last.prefix, expected))
            )


def _kinds(bundle: BundleReader) -> Kinds:
    return {name: (kind.dtype, kind.shape) for name, kind in bundle.list_tensors().iter_kinds()}


def _differences(first_prefix: str, first: Kinds, second_prefix: str, second: Kinds) -> list[str]:
    found = []
    for prefix, names in ((first_prefix, first.keys() - second.keys()), (second_prefix, second.keys() - first.keys())):
        if names:
            found.append(f"only {prefix} has {_list(sorted(names))}")
    unlike = [name for name in first if name in second and first[name] != second[name]]
    if unlike:
        kinds = [
            f"{name} is {_format(first[name])} in the first, {_format(second[name])} in the second" for name in unlike
        ]
        found.append(_list(kinds))
    return found


def _list(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MOST_NAMES:,} more" if len(items) > _MOST_NAMES else ""
    return ", ".join(items[:_MOST_NAMES]) + more


def _format(kind: tuple[str, tuple[int, ...]]) -> str:
    dtype, shape = kind
    return f"{dtype} [{','.join(map(str, shape))}]"
