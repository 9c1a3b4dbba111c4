"""The corpus: checkpoints of many origins, each beside an ``EXPECTED.json`` that TensorFlow wrote."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.requirements import find_corpus


@dataclass(frozen=True)
class ExpectedTensor:
    """What TensorFlow read; ``sha256`` is None where it gave an error instead."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str | None
    error: str | None


@dataclass(frozen=True)
class Item:
    """One checkpoint of the corpus.

    Attributes:
        directory: of the item, relative to the corpus.
        prefix: absolute; ends in a separator where the base name is empty.
        kind: ``"V2"``, ``"V1"`` or ``"V1sharded"``.
        table: what a parser said of the index: ``compression`` types, number of ``entries``, ...
        tensors: by name.
    """

    directory: str
    prefix: str
    kind: str
    table: dict[str, Any]
    tensors: dict[str, ExpectedTensor]

    @property
    def label(self) -> str:
        """A short name for reports."""
        return f"{self.directory}:{os.path.relpath(self.prefix, os.path.join(*self._root))}"

    @property
    def _root(self) -> tuple[str, str]:
        head, _, _ = self.prefix.partition(self.directory)
        return head, self.directory


def iter_items(root: Path) -> Iterator[Item]:
    """Yield every checkpoint under ``root``."""
    for path in sorted(root.glob("*/*/EXPECTED.json")):
        expected = json.loads(path.read_text("utf-8"))
        for prefix, facts in sorted(expected.items()):
            yield Item(
                path.parent.name,
                os.path.join(path.parent.absolute(), prefix.removeprefix("./")),
                facts["kind"],
                facts["table"],
                {name: _tensor(tensor) for name, tensor in facts["tensors"].items()},
            )


def v2_items() -> list[Item]:
    """Return the V2 checkpoints of the corpus, none where there is no corpus."""
    root = find_corpus()
    return [item for item in iter_items(root) if item.kind == "V2"] if root else []


def v1_items() -> list[Item]:
    """Return the V1 checkpoints of the corpus, none where there is no corpus."""
    root = find_corpus()
    return [item for item in iter_items(root) if item.kind != "V2"] if root else []


def _tensor(facts: dict[str, Any]) -> ExpectedTensor:
    return ExpectedTensor(facts["dtype"], tuple(facts["shape"]), facts.get("sha256"), facts.get("error"))


def tensor_digest(array: NDArray[Any]) -> str:
    """Return the sha256 by which ``EXPECTED.json`` knows a tensor's values.

    Over the little-endian bytes in C order; for strings over the length, as a little-endian uint64, and the
    bytes of each.
    """
    if array.dtype == object:
        data = b"".join(struct.pack("<Q", len(value)) + value for value in array.reshape(-1).tolist())
    else:
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(data).hexdigest()
