"""Which tensors are cast, kept and dropped: patterns on names, and the treatment of optimizer state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tfbundle.format.patterns import compile_pattern

OptimizerState = Literal["keep", "cast", "drop"]


@dataclass(frozen=True)
class Selection:
    """Which tensors to cast, and which to leave out.

    Patterns are shell globs in which ``*`` also matches ``/``; or regular expressions after ``re:``, found anywhere in
    the name; or one of the words ``batchnorm``, ``norm`` and ``embedding``, which ``choosing.presets`` explains. A
    TF2 key may be given without its closing ``/.ATTRIBUTES/VARIABLE_VALUE``. A pattern that matches no key may be
    another path through the object graph, or match names that variables of a TF2 model have beside their keys, as
    ``dense/kernel``.

    Attributes:
        keep: tensors that stay in their dtype.
        only: when not empty, tensors outside it stay in their dtype.
        drop: tensors that the output leaves out.
        optimizer: ``"keep"`` keeps optimizer state from casts that lose something, ``"cast"`` treats it like any
            tensor, ``"drop"`` leaves it out. Second moments of Adam are so small that float16 turns many of them into
            zero, which ruins continued training: hence the default.
        select: when not empty, the output leaves out the tensors outside it. In a TF2 checkpoint, the object graph and
            the save counter stay beside what is selected.
        like: path of a template: a checkpoint, a ``.meta`` graph or a ``saved_model.pb``. The output holds exactly the
            tensors it wants, each in the dtype it wants; names, as they are in the output, and shapes must be equal.
            This settles everything, so that no other field may be set, nor rules in the policy.
        strip_training: ``halve`` takes out of the graph, and of the checkpoint, all that ``outputs`` do not need.
        outputs: names of nodes of the graph; for a SavedModel, those of its signatures when empty.

    Raises:
        ValueError: no such choice for ``optimizer``, a malformed regular expression, ``like`` beside other fields, or
            ``outputs`` alone.

    Example:
        >>> Selection(keep=("*/batch_norm*",), optimizer="drop").optimizer
        'drop'
    """

    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    optimizer: OptimizerState = "keep"
    select: tuple[str, ...] = ()
    like: str = ""
    strip_training: bool = False
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(OptimizerState):
            raise ValueError(f"optimizer is {self.optimizer!r}, expected one of {get_args(OptimizerState)}")
        for pattern in (*self.keep, *self.only, *self.drop, *self.select):
            compile_pattern(pattern)
        if self.outputs and not self.strip_training:
            raise ValueError("--outputs says what --strip-training leaves; give both")
        if self.like and (
            self.strip_training or self.keep or self.only or self.drop or self.select or self.optimizer != "keep"
        ):
            raise ValueError("--like settles what becomes of every tensor; leave out the options that choose tensors")
