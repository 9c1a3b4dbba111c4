"""A pytest plugin for runs in which TensorFlow, slow to import, shall not count: tests that need it are skipped."""

from __future__ import annotations

import sys

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let no module import TensorFlow; not before this is the plugin of a run, since importing it means nothing."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
