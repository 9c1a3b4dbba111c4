"""Options that say what is cast to what, and what becomes of values and slices."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfbundle.casting.policy import CastPolicy


def add_rule_option(group: Any) -> None:
    """Add the option for dtypes of single tensors."""
    group.add_argument(
        "--rule",
        metavar="PAT=DTYPE",
        action="append",
        default=[],
        type=parse_rule,
        help="give these that dtype whatever the other options say: a float for floats, an integer for integers "
        "(repeatable; the first that matches counts)",
    )


def add_target_options(group: Any, default: str = "") -> None:
    """Add the options that say what is cast to what; without a default, the dtype must be given, or a template."""
    text = f"the dtype to cast to (default: {default})" if default else "the dtype to cast to; needed but for --like"
    group.add_argument("--to", metavar="DTYPE", help=text)
    group.add_argument(
        "--from",
        dest="sources",
        metavar="DTYPE",
        action="append",
        default=[],
        help="cast tensors of this dtype (repeatable; default: float32 to a narrower float, narrower floats to a "
        "wider one, all other integers to an integer)",
    )


def add_overflow_option(group: Any) -> None:
    """Add the option for values that do not fit."""
    group.add_argument(
        "--on-overflow",
        choices=("error", "inf", "clamp", "keep"),
        default="error",
        help="what to do with finite values that the new dtype cannot hold, such as those beyond 65504 in float16: "
        "error refuses; inf stores infinity as tf.cast does (of integers: the low bits); clamp stores the largest "
        "finite value (of integers: the nearest); keep leaves the whole tensor in its dtype, for which the source is "
        "read twice",
    )


def add_slices_option(group: Any) -> None:
    """Add the option for partitioned tensors."""
    group.add_argument(
        "--slices",
        choices=("join", "keep"),
        default="join",
        help="what to do with partitioned tensors that are cast to a dtype whose slices TensorFlow cannot put "
        "together, such as float16: join the slices of each to a plain tensor; or keep them, for a graph with the "
        "same partitions",
    )


def read_policy(options: argparse.Namespace) -> CastPolicy:
    """Return the policy that the options ask for.

    Raises:
        ValueError: there is a dtype, and a template beside it that settles all dtypes.
    """
    from tfbundle.casting.policy import CastPolicy

    to, sources = getattr(options, "to", None), tuple(getattr(options, "sources", ()))
    if options.like and to:
        raise ValueError("--like settles every dtype; leave out --to")
    return CastPolicy(to or "float16", sources, tuple(options.rule), options.on_overflow)


def parse_rule(text: str) -> tuple[str, str]:
    """Parse ``PAT=DTYPE``; the pattern may have equals signs.

    Raises:
        ArgumentTypeError: it is no such pair.
    """
    pattern, mark, dtype = text.rpartition("=")
    if not mark or not pattern or not dtype:
        raise argparse.ArgumentTypeError(f"{text!r}: expected PAT=DTYPE, such as moving_*=float32")
    return pattern, dtype
