from __future__ import annotations

import contextlib
import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.errors import BundleError, FormatError, UnsupportedError
from tfbundle.format.npy import NPY_MAGIC, NpyHeader, encode_npy_header, parse_npy_header

SHAPES = [(), (3,), (2, 3), (0, 4), (1 << 40, 5), (1,) * 64]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("descr", ["<f4", "|u1", "|b1", "<c16"])
def test_numpy_reads_what_is_encoded(descr: str, shape: tuple[int, ...]) -> None:
    header = encode_npy_header(descr, shape)
    stream = io.BytesIO(header + b"payload")
    assert np.lib.format.read_magic(stream) == (1, 0)
    assert np.lib.format.read_array_header_1_0(stream) == (shape, False, np.dtype(descr))
    assert stream.read() == b"payload"
    assert len(header) % 64 == 0


@pytest.mark.parametrize("shape", SHAPES[:4])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_what_numpy_encodes(shape: tuple[int, ...], version: tuple[int, int]) -> None:
    stream = io.BytesIO()
    fields = {"descr": ">f8", "fortran_order": True, "shape": shape}
    write = np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    write(stream, fields)
    found = parse_npy_header(stream.getvalue() + b"payload")
    assert found == NpyHeader(shape, True, np.dtype(">f8"), len(stream.getvalue()))
    assert found.nbytes == 8 * int(np.prod(shape))


def test_a_long_shape_takes_version_2() -> None:
    header = encode_npy_header("<f4", (1 << 40,) * 5000)
    assert header[6:8] == b"\2\0"
    assert struct.unpack("<I", header[8:12])[0] + 12 == len(header)
    assert len(header) % 64 == 0


def npy(text: str, version: bytes = b"\1\0") -> bytes:
    return NPY_MAGIC + version + struct.pack("<H", len(text)) + text.encode("latin1")


@pytest.mark.parametrize(
    ("start", "kind", "message"),
    [
        (b"", FormatError, r"no \.npy file"),
        (b"\x80\x04]\x94.", FormatError, r"no \.npy file"),
        (NPY_MAGIC, FormatError, "damaged header"),
        (NPY_MAGIC + b"\1\0\xff\xff{", FormatError, "damaged header"),
        (npy("{}"), FormatError, "damaged header"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), FormatError, "a shape that no array has"),
        (npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**63},), }}"), FormatError, "no array has"),
        (npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**40}, {2**40}), }}"), FormatError, "no array"),
        (
            npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'9' * 4000}, {'9' * 4000}), }}"),
            FormatError,
            "a shape that no array has",
        ),
        (npy("{'descr': 'x9', 'fortran_order': False, 'shape': (), }"), FormatError, "damaged header"),
        (npy("(" * 5000), FormatError, "damaged header"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", b"\3\0"), UnsupportedError, "version 3.0"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }"), UnsupportedError, "pickled"),
    ],
)
def test_other_headers(start: bytes, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        parse_npy_header(start)


@given(st.binary(max_size=200), st.integers(0, 200), st.binary(max_size=4))
def test_any_bytes(data: bytes, at: int, patch: bytes) -> None:
    header = encode_npy_header("<f4", (2, 3))
    for start in (NPY_MAGIC + data, header[:at] + patch + header[at + len(patch) :]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with contextlib.suppress(BundleError):
                assert parse_npy_header(start).nbytes >= 0


def test_an_error_without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", fail)
    with pytest.raises(FormatError, match="damaged header: MemoryError"):
        parse_npy_header(encode_npy_header("<f4", ()))
