"""Words that stand for whole families of tensors: ``batchnorm``, ``norm`` and ``embedding``.

They are found by their own name and by that of the layer they are in; names differ from library to library, and Keras
numbers layers instead of naming them, so that neighbours count too: no other layer has both ``gamma`` and ``beta``, and
moving statistics belong to batch normalization. Optimizer slots of such tensors are not among them; shadow variables of
moving averages are.

Source: TensorFlow ``contrib/layers``, ``python/layers/normalization.py`` and ``python/training/moving_averages.py``;
Keras ``layers/normalization`` and ``layers/core/embedding.py``; names found in published checkpoints.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tfbundle.choosing.names import TensorNames
from tfbundle.format.object_paths import VALUE_ENDING

_AVERAGES = frozenset({
    "moving_mean", "moving_variance", "moving_stddev", "pop_mean", "pop_var", "running_mean", "running_var",
    "renorm_mean", "renorm_mean_weight", "renorm_stddev", "renorm_stddev_weight",
})  # fmt: skip
_AFFINE = frozenset({"gamma", "beta", "scale", "offset", "bias", "weight", "g", "b"})
_OWN_NAMES = frozenset({"layer_norm_scale", "layer_norm_bias"})
_TABLE_WEIGHTS = frozenset({"kernel", "weight", "weights", "table", "var", "w"})
_TABLE_WORDS = frozenset({"embedding", "embeddings", "embed", "emb", "wte", "wpe"})
_NORM_WORDS = frozenset({"bn", "gn", "ln"})
_BATCH_NORM_WORDS = frozenset({"bn", "batchnorm", "batchnormalization"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_COUNTERS = frozenset({"v", "f", "layer"})  # batch_normalization_v1_3, ln_f
_SHADOW = "/ExponentialMovingAverage"

PRESETS = ("batchnorm", "embedding", "norm")
"""The words, each as a whole pattern: ``norm`` is one, ``norm*`` a shell glob."""


class _Parts(NamedTuple):
    scope: str
    layer: str
    own: str


def find_preset(word: str, names: TensorNames) -> list[str]:
    """Return the names of the tensors that a word of ``PRESETS`` stands for; perhaps none.

    ``batchnorm`` is everything in layers that keep moving statistics, and scale and offset in layers called after batch
    normalization. ``norm`` is these, scale and offset in layers called after any normalization (``LayerNorm``,
    ``group_norm_2``, ``ln_1``, ...), and every ``gamma`` beside a ``beta``. ``embedding`` is embedding tables.

    Example:
        >>> find_preset("norm", TensorNames(["ln_1/g", "dense/kernel", "6/beta", "6/gamma"]))
        ['ln_1/g', '6/beta', '6/gamma']
    """
    parts = {name: [_split(names.model_paths.get(name, name))] for name in names}
    for name, own_name in names.own_names.items():
        parts[name].append(_split(own_name))
    if word == "embedding":
        return [name for name, forms in parts.items() if any(map(_is_table, forms))]
    siblings = _group(part for forms in parts.values() for part in forms)
    return [
        name
        for name, forms in parts.items()
        if any(_is_normalization(part, siblings[part.scope], word) for part in forms)
    ]


def _split(name: str) -> _Parts:
    """Return the scope of a tensor, the scope's last part, and the tensor's own name; PyTorch's names have dots."""
    short = name.removesuffix(VALUE_ENDING).removesuffix(_SHADOW)
    mark = "/" if "/" in short else "."
    scope, _, own = short.rpartition(mark)
    return _Parts(scope, scope.rpartition(mark)[2], own)


def _group(parts: Iterable[_Parts]) -> Mapping[str, set[str]]:
    siblings: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        siblings[part.scope].add(part.own)
    return siblings


def _is_normalization(part: _Parts, siblings: set[str], word: str) -> bool:
    if part.own in _AVERAGES:
        return True
    if word == "norm" and part.own in _OWN_NAMES:
        return True
    if part.own not in _AFFINE:
        return False
    called = _words(part.layer)
    if siblings & _AVERAGES or _BATCH_NORM_WORDS & {"".join(called[-1:]), "".join(called[-2:])}:
        return True
    return word == "norm" and ({"gamma", "beta"} <= siblings or _is_norm_word("".join(called[-1:])))


def _is_norm_word(word: str) -> bool:
    return word in _NORM_WORDS or word.endswith(("norm", "normalization"))


def _is_table(part: _Parts) -> bool:
    own, layer = _words(part.own), _words(part.layer)
    if own[-1:] and own[-1] in _TABLE_WEIGHTS:
        own.pop()
        if not own:  # called no more than that; those of patches are convolutions
            is_shared = layer == ["shared"] and "symbol_modality" in part.scope  # of Tensor2Tensor
            return is_shared or ("patch" not in layer and not _TABLE_WORDS.isdisjoint(layer[-1:]))
    return not _TABLE_WORDS.isdisjoint(own[-1:])


def _words(text: str) -> list[str]:
    """Return the words of a name, in lower case, without numbers and the like at the end."""
    words = [word.lower() for word in _WORD.findall(text)]
    while words and (words[-1].isdigit() or words[-1] in _COUNTERS):
        words.pop()
    return words
