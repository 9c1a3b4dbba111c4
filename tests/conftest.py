"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE.

``dev``, the default: a few examples, other ones every time. ``ci``: more, and always the same. ``steady``: few, and
always the same, for what runs tests again and again and compares: coverage, mutation testing.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

_SLOW_MACHINES = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=_SLOW_MACHINES)
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW_MACHINES
)
settings.register_profile(
    "steady",
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[*_SLOW_MACHINES, HealthCheck.differing_executors],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sweep: over all 2^32 float32 patterns, takes minutes; run with -m sweep")
