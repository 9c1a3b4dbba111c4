from __future__ import annotations

import difflib
import time

from tfbundle.choosing.closest import find_closest, hint_closest

NAMES = ["dense/kernel", "dense/bias", "conv1/weights", "conv1/biases", "global_step"]


def test_of_few_names_the_closest_are_those_of_difflib() -> None:
    for wanted in ("dense/kernal", "globl_step", "conv2/weights", "model/dense/bias", "zzz"):
        assert sorted(find_closest(wanted, NAMES)) == sorted(difflib.get_close_matches(wanted, NAMES, 3, 0.4))


def test_hint() -> None:
    assert hint_closest("globl_step", NAMES) == "; close names: global_step"
    assert hint_closest("zzz", NAMES) == ""
    assert hint_closest("w", []) == ""
    assert find_closest("", NAMES) == []


def test_of_many_names_the_closest_is_found_in_time() -> None:
    names = [f"model/layer_{number}/attention/kernel" for number in range(100_000)]
    start = time.perf_counter()
    assert find_closest("modle/layer_77777/attention/kernel", names)[0] == "model/layer_77777/attention/kernel"
    assert find_closest("layer_77777/attention/kernel", names)[0] == "model/layer_77777/attention/kernel"
    assert time.perf_counter() - start < 20  # comparing all of them takes minutes


def test_names_that_nobody_reads_are_not_compared() -> None:
    """difflib takes minutes for two of these."""
    letters = "".join(chr(0x4E00 + number * number % 5003) for number in range(1 << 18))
    start = time.process_time()
    assert find_closest(letters, [letters[1:], letters[::-1]]) == []
    assert find_closest("dense/kernal", [letters, "dense/kernel" + letters, "dense/kernel"]) == ["dense/kernel"]
    assert time.process_time() - start < 5
