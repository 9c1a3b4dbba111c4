"""Every V2 checkpoint of the corpus against what TensorFlow read in it."""

from __future__ import annotations

import pytest

from tests.support.corpus import Item, iter_items, tensor_digest, v1_items, v2_items
from tests.support.requirements import corpus_root
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.errors import BundleNotFoundError, FormatError

ITEMS = v2_items()
each_item = pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.label)


def test_corpus_is_there() -> None:
    kinds = [item.kind for item in iter_items(corpus_root())]
    assert kinds.count("V2") >= 100
    assert kinds.count("V2") == len(ITEMS)
    assert len(kinds) - len(ITEMS) == len(v1_items()) >= 20


def wrong_tensors(bundle: BundleReader, item: Item) -> list[str]:
    """Return the names of tensors whose values are not TensorFlow's."""
    return [
        name
        for name, expected in item.tensors.items()
        if expected.sha256 is not None and tensor_digest(bundle[name]) != expected.sha256
    ]


@each_item
def test_names_dtypes_and_shapes(item: Item) -> None:
    with open_bundle(item.prefix) as bundle:
        assert list(bundle) == sorted(item.tensors, key=str.encode)
        found = {name: (info.dtype, info.shape) for name, info in bundle.entries.items()}
        assert found == {name: (tensor.dtype, tensor.shape) for name, tensor in item.tensors.items()}
        assert len(bundle.index) + 1 == item.table["entries"]


@each_item
def test_values(item: Item) -> None:
    with open_bundle(item.prefix) as bundle:
        assert wrong_tensors(bundle, item) == []


@each_item
def test_partitioned_tensors_are_listed_once(item: Item) -> None:
    with open_bundle(item.prefix) as bundle:
        partitioned = [info for info in bundle.entries.values() if info.slices]
        assert sum(len(info.slices) for info in partitioned) == item.table["slice_entries"]


@pytest.mark.parametrize(
    "item",
    [item for item in ITEMS if any(tensor.error for tensor in item.tensors.values())],
    ids=lambda item: item.label,
)
def test_tensors_that_tensorflow_cannot_read(item: Item) -> None:
    """They fail cleanly, but for slices of dtypes that only TensorFlow cannot put together."""
    with open_bundle(item.prefix) as bundle:
        for name, expected in item.tensors.items():
            if expected.error is None:
                continue
            if "Dtype " in expected.error:
                assert bundle[name].shape == expected.shape
                continue
            missing = "No such file or directory" in expected.error
            with pytest.raises(BundleNotFoundError if missing else FormatError):
                bundle[name]


@pytest.mark.parametrize("item", v1_items(), ids=lambda item: item.label)
def test_v1_checkpoints(item: Item) -> None:
    with open_bundle(item.prefix) as bundle:
        assert bundle.is_v1
        found = {name: (info.dtype, info.shape) for name, info in bundle.entries.items()}
        assert found == {name: (tensor.dtype, tensor.shape) for name, tensor in item.tensors.items()}
        assert all(tensor.sha256 for tensor in item.tensors.values())
        assert wrong_tensors(bundle, item) == []
