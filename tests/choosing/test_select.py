from __future__ import annotations

import pytest

from tfbundle.choosing.select import Selection


def test_malformed_expression() -> None:
    with pytest.raises(ValueError, match=r"pattern 're:\(' is no regular expression"):
        Selection(keep=("re:(",))


def test_unknown_treatment_of_optimizer_state() -> None:
    with pytest.raises(ValueError, match="optimizer is 'forget'"):
        Selection(optimizer="forget")  # type: ignore[arg-type]
