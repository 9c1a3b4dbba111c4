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

from tfbundle.conversion.names import TensorNames
from tfbundle.format.object_paths import VALUE_ENDING

_AVERAGES = frozenset({
    "moving_mean", "moving_variance", "moving_stddev", "pop_mean", "pop_var", "running_mean", "running_var",
    "renorm_mean", "renorm_mean_weight", "renorm_stddev", "renorm_stddev_weight",
})  # fmt: skip
_AFFINE = frozenset({"gamma", "beta", "scale", "offset", "bias", "weight", "g", "b"})
_OWN_NAME = re.compile(r"layer_norm_(?:scale|bias)")
_NUMBER = r"(?:_?v?\d+|_f|_layer)*"  # batch_normalization_v1_3, ln_f
_BATCH_NORM = re.compile(
    rf"(?:.*_)?(?:(?:sync_?)?batch_?norm(?:alization)?|bn){_NUMBER}|.*(?:BatchNorm(?:alization)?|[a-z0-9]BN){_NUMBER}",
    re.DOTALL,
)
_NORM = re.compile(
    rf"(?:.*_)?(?:\w*(?<![a-z])(?:layer|group|instance|batch|rms|pre|post|q|k)?_?norm(?:alization)?|ln|gn|rmsnorm)"
    rf"{_NUMBER}|.*Norm(?:alization)?{_NUMBER}",
    re.DOTALL,
)
_TABLE = re.compile(
    r"_?(?:.*_)?(?:embeddings?|embed|emb|wte|wpe)(?:_(?:table|weights|matrix|lookup))?(?:_\d+)?", re.DOTALL
)
_TABLE_LAYER = re.compile(
    r"(?!.*patch)(?:.*_)?(?:embeddings?|embed|emb)(?:_\d+)?|(?:.*)Embeddings?(?:_\d+)?", re.DOTALL
)
_TABLE_WEIGHTS = re.compile(r"kernel|weights?(?:_\d+)?|table|var|[wW]")
_T2T_TABLE = re.compile(r"(?:.*/)?\w*symbol_modality_\d+_\d+(?:_\d+)?/(?:shared|input_emb|target_emb)/weights_\d+")
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
    parts = {name: _split(names.model_paths.get(name, name)) for name in names}
    if word == "embedding":
        return [name for name, part in parts.items() if _is_table(part)]
    siblings = _group(parts.values())
    return [name for name, part in parts.items() if _is_normalization(part, siblings[part.scope], word)]


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
    if word == "norm" and _OWN_NAME.fullmatch(part.own):
        return True
    if part.own not in _AFFINE:
        return False
    if siblings & _AVERAGES or _BATCH_NORM.fullmatch(part.layer):
        return True
    return word == "norm" and bool({"gamma", "beta"} <= siblings or _NORM.fullmatch(part.layer))


def _is_table(part: _Parts) -> bool:
    if _TABLE.fullmatch(part.own) or _T2T_TABLE.fullmatch(f"{part.scope}/{part.own}"):
        return True
    return bool(_TABLE_WEIGHTS.fullmatch(part.own) and _TABLE_LAYER.fullmatch(part.layer))
