from __future__ import annotations

import dataclasses

import pytest

from tfbundle.casting.policy import CastPolicy


def test_overflow_is_an_error_unless_allowed() -> None:
    assert CastPolicy().on_overflow == "error"


@pytest.mark.parametrize("choice", ["error", "inf", "clamp", "keep"])
def test_choices(choice: str) -> None:
    assert CastPolicy(on_overflow=choice).on_overflow == choice  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", ["", "Error", "leave", None, 1])
def test_anything_else_is_refused(choice: object) -> None:
    with pytest.raises(ValueError, match="on_overflow is"):
        CastPolicy(on_overflow=choice)  # type: ignore[arg-type]


def test_policy_does_not_change() -> None:
    policy = CastPolicy()
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.on_overflow = "inf"  # type: ignore[misc]
