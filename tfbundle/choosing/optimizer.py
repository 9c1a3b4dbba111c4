"""Telling optimizer state from weights, by names (TF1) and by the object graph (TF2).

TF1: a slot is named after its variable, ``X/Adam`` beside ``X``, perhaps under a scope; optimizers of Keras put their
name first, ``training/Adam/X/m``. TF2: an optimizer is a node of the object graph with slots, or one that holds a step
counter and a learning rate. Its values may be stored under the model's path, and, in Keras 3, weights under the
optimizer's path: so keys alone cannot tell.

Source: TensorFlow ``python/training/slot_creator.py`` and the optimizers in ``python/training``; Keras
``optimizers``; names found in published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from tfbundle.format.object_graph import TrackableObject

_SLOT = (
    r"(?s)(?P<variable>.+)(?:"
    r"/(?:Adam|AdamW|LazyAdam|AdamWeightDecay|AdaMax|Adamax|Nadam|NadamOptimizer|AMSGrad|LAMB|LARS|Momentum|MomentumW"
    r"|RMSProp|Adagrad|AdagradDA|Adadelta|Ftrl|ProximalAdagrad|PowerSign|AddSign|Adafactor)(?:Optimizer)?(?:_\d+)?"
    r"|/(?:adam|lamb|lars)_(?:m|v)(?:_\d+)?"
    r"|_slot_(?:m|v|vr|vc)"
    r")"
)
_ACCUMULATED_POWER = r"(?s)(?:.*/)?beta[12]_power(?:_\d+)?"
_KERAS = r"(?s)(?:.*/)?(?:SGD|RMSprop|Adagrad|Adadelta|Adam|AdamW|Adamax|Nadam|Ftrl)(?:_\d+)?/(?P<rest>.+)"
_KERAS_SLOT = (
    r"(?s)(?P<variable>.+)/(?:m|v|vhat|rms|mg|momentum|velocity|accumulator|linear|accum_grad|accum_var)(?:_\d+)?"
)
_HYPERPARAMETER = (
    r"(?:iterations?|iter|decay|lr|learning_rate(?:_power)?|momentum|rho|beta(?:_[12])?|epsilon"
    r"|l[12]_regularization_strength)(?:_\d+)?"
)
_KERAS_WEIGHTS = r"training(?:_\d+)?/[^/]+/Variable(?:_\d+)?"  # moments in TF1's Keras had no better name
_OPTIMIZE_LOSS = r"OptimizeLoss(?:_\d+)?/learning_rate"

_MARK = re.compile(
    "Ada|ada|AMS|LAMB|LARS|lamb|lars|Mom|RMS|SGD|Ftrl|Sign|_slot_|_power|OPTIMIZER_SLOT|/Variable|OptimizeLoss"
)
"""Found in every name that is state by its name: a quick way to tell that most names are not."""

_SLOT_KEY = "/.OPTIMIZER_SLOT/"
_MOST_SCOPES = 100  # around a variable; names are made by whoever made the file, and may have a million parts
_STEP_COUNTERS = frozenset({"iter", "iterations", "_iterations"})
_RATES = frozenset({"learning_rate", "_learning_rate", "_current_learning_rate", "_variables"})
_MODEL_VARIABLES = "_trainable_variables"


def find_optimizer_state(names: Collection[str], object_graph: Sequence[TrackableObject] = ()) -> frozenset[str]:
    """Return the names of the tensors that an optimizer keeps for itself.

    Args:
        names: of all tensors.
        object_graph: of a TF2 checkpoint; empty for others.

    Example:
        >>> sorted(find_optimizer_state({"w", "w/Adam", "w/Adam_1", "beta1_power", "Adam"}))
        ['beta1_power', 'w/Adam', 'w/Adam_1']
    """
    by_name = {name for name in names if _MARK.search(name) and _is_state_by_name(name, names)}
    return frozenset(by_name | {key for key in _state_keys(object_graph) if key in names})


def _is_state_by_name(name: str, names: Collection[str]) -> bool:
    if _SLOT_KEY in name or re.fullmatch(_ACCUMULATED_POWER, name):
        return True
    if (slot := re.fullmatch(_SLOT, name)) and any(tail in names for tail in _path_tails(slot["variable"])):
        return True
    if (keras := re.fullmatch(_KERAS, name)) and _is_keras_state(keras["rest"], names):
        return True
    return bool(re.fullmatch(_KERAS_WEIGHTS, name) or re.fullmatch(_OPTIMIZE_LOSS, name))


def _is_keras_state(rest: str, names: Collection[str]) -> bool:
    """Judge what follows an optimizer's name in a path."""
    slot = re.fullmatch(_KERAS_SLOT, rest)
    return bool(re.fullmatch(_HYPERPARAMETER, rest) or (slot and slot["variable"] in names))


def _path_tails(path: str) -> Iterator[str]:
    """Yield a path, then the path without its first part, and so on: an optimizer may stand in a scope."""
    for _ in range(_MOST_SCOPES):
        if path:
            yield path
        path = path.partition("/")[2]


def find_optimizers(graph: Sequence[TrackableObject]) -> set[int]:
    """Return the numbers of the objects that are optimizers.

    Example:
        >>> find_optimizers([TrackableObject((("iter", 1), ("learning_rate", 1)), (), ()), TrackableObject((), (), ())])
        {0}
    """
    return {number for number, node in enumerate(graph) if _is_optimizer(node)}


def _state_keys(graph: Sequence[TrackableObject]) -> set[str]:
    optimizers = find_optimizers(graph)
    if not optimizers:
        return set()
    model = _reach(graph, [0], avoid=optimizers)
    held = [child for number in optimizers for name, child in graph[number].children if name != _MODEL_VARIABLES]
    slots = {slot.slot for number in optimizers for slot in graph[number].slot_variables}
    state = (_reach(graph, [*optimizers, *held], avoid=set(), skip=_MODEL_VARIABLES) - model) | slots
    return {key for number in state for key in graph[number].checkpoint_keys}


def _is_optimizer(node: TrackableObject) -> bool:
    names = {name for name, _ in node.children}
    return bool(node.slot_variables or (names & _STEP_COUNTERS and names & _RATES))


def _reach(graph: Sequence[TrackableObject], start: Iterable[int], avoid: Collection[int], skip: str = "") -> set[int]:
    """Return the nodes that can be reached, not entering ``avoid`` and not following children called ``skip``."""
    waiting = [number for number in start if number not in avoid]
    seen = set(waiting)
    while waiting:
        for name, child in graph[waiting.pop()].children:
            if child not in seen and child not in avoid and name != skip:
                seen.add(child)
                waiting.append(child)
    return seen
