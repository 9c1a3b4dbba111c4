"""All targets, by name."""

from __future__ import annotations

from importlib import import_module

from tests.fuzz.target import Target

NAMES = ("table", "entry", "strings", "slices", "v1", "state", "bundle", "graph", "rewrite")


def find_target(name: str) -> Target:
    """Return a target."""
    target: Target = import_module(f"tests.fuzz.{name}").TARGET
    return target


def all_targets() -> list[Target]:
    """Return every target."""
    return [find_target(name) for name in NAMES]
