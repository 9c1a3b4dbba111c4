from __future__ import annotations

import threading

import numpy as np
import pytest

from tfbundle.choosing.castable import Cast
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.streaming.workspace import Treatment, Workspace, swap_bytes, workspace

HALVE = Cast(1, 19)


def test_tensors_of_a_window_are_counted_apart() -> None:
    values = np.array([1, 1e6, 2, 3e-8, -5], np.float32)
    output, stats = Workspace(Treatment("inf")).cast(HALVE, values.view(np.uint8), 0, [0, 8])
    with np.errstate(all="ignore"):
        assert output.view(np.float16).tolist() == values.astype(np.float16).tolist()
    assert stats.elements.tolist() == [2, 3]
    assert stats.overflow.tolist() == [1, 0]
    assert stats.largest.tolist() == [1e6, 5]
    assert stats.deviations is None


@pytest.mark.parametrize(("how", "expected"), [("inf", np.inf), ("clamp", 65504)])
def test_treatment(how: str, expected: float) -> None:
    values = np.array([1e6], np.float32)
    treatment = Treatment(how, measure=True)  # type: ignore[arg-type]
    output, stats = Workspace(treatment).cast(HALVE, values.view(np.uint8), 0, [0])
    assert output.view(np.float16)[0] == expected
    assert stats.deviations is not None


@pytest.mark.parametrize("offset", [0, 2, 6, 4094])
def test_full_windows_fit_wherever_they_go(offset: int) -> None:
    space = Workspace(Treatment())
    window = space.source(offset, WINDOW_NBYTES)
    window[:] = 0
    output, _ = space.cast(HALVE, window, offset, [0])
    assert (len(window), len(output)) == (WINDOW_NBYTES, WINDOW_NBYTES // 2)
    assert len(space.whole(WINDOW_NBYTES)) == WINDOW_NBYTES


def test_buffers_do_not_overlap() -> None:
    space = Workspace(Treatment())
    source, whole = space.source(0, 8), space.whole(8)
    output, _ = space.cast(HALVE, source, 0, [0])
    assert not any(np.shares_memory(*pair) for pair in ((source, whole), (source, output), (whole, output)))


def test_each_thread_has_one() -> None:
    mine = workspace(Treatment("clamp"))
    assert workspace(Treatment("clamp")) is mine
    found: list[Workspace] = []
    thread = threading.Thread(target=lambda: found.append(workspace(Treatment("clamp"))))
    thread.start()
    thread.join()
    assert found[0] is not mine
    assert workspace(Treatment("inf")) is not mine


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_swapped_bytes(width: int) -> None:
    window = np.arange(16, dtype=np.uint8)
    expected = b"".join(bytes(window[start : start + width])[::-1] for start in range(0, 16, width))
    swap_bytes(window, width)
    assert window.tobytes() == expected
