from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfbundle
from tests.support.handmade import HandmadeBundle, floats, integers, strings
from tfbundle.bundle import sweep
from tfbundle.bundle.reader import BundleReader

VALUES = np.random.default_rng(5).normal(size=(40, 7)).astype(np.float32)
MANY = HandmadeBundle(
    [floats(f"w{number:02d}", row, shard=number % 2, gap=number % 3) for number, row in enumerate(VALUES)], 2
)


def confirmed(bundle: BundleReader) -> list[str]:
    flags = sweep.confirm_payloads(bundle.index.scanned, bundle.shards)
    return [name for name, flag in zip(bundle, flags.tolist(), strict=True) if flag]


def test_sound_numbers_are_confirmed_and_nothing_else(tmp_path: Path) -> None:
    broken = HandmadeBundle([floats("broken", [1, 2], crc=7)]).tensors[0]
    odd = HandmadeBundle([floats("odd", [1], extra=b"\x4a\x01x")]).tensors[0]  # an unknown field
    bundle = HandmadeBundle(
        [strings("s", [b"abc"]), integers("i", [1, 2]), broken, odd, floats("w", VALUES), floats("0", [])]
    )
    with tfbundle.open(bundle.write(tmp_path / "m")) as reader:
        assert confirmed(reader) == ["i", "w"]
        assert [reader.index.keys_in_order[row] for row in reader.find_unconfirmed()] == [b"0", b"broken", b"odd", b"s"]


@given(st.integers(0, 2), st.data())
def test_a_changed_byte_is_noticed_whatever_the_window(seed: int, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        source = MANY.write(f"{folder}/m")
        path = Path(f"{source}.data-0000{seed % 2}-of-00002")
        contents = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(contents) - 1))
        contents[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(contents)
        window = data.draw(st.sampled_from([1, 4, 28, 100, 1 << 20]))
        with pytest.MonkeyPatch.context() as monkeypatch, tfbundle.open(source) as reader:
            monkeypatch.setattr(sweep, "WINDOW_NBYTES", window)
            hit = {
                name
                for name, info in reader.entries.items()
                if info.shard == seed % 2 and info.offset <= at < info.offset + info.nbytes
            }
            assert set(reader) - set(confirmed(reader)) == hit


def test_shards_that_are_missing_or_short_confirm_only_the_rest(tmp_path: Path) -> None:
    source = MANY.write(tmp_path / "m")
    (tmp_path / "m.data-00000-of-00002").unlink()
    short = tmp_path / "m.data-00001-of-00002"
    short.write_bytes(short.read_bytes()[:100])
    with tfbundle.open(source) as reader:
        expected = [
            name for name, info in reader.entries.items() if info.shard == 1 and info.offset + info.nbytes <= 100
        ]
        assert expected
        assert confirmed(reader) == expected
