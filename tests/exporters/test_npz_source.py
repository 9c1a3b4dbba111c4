"""Archives that numpy wrote, and archives that somebody made to do harm."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.archives import MEMBER, MadeArchive, MadeMember, W, deflate, npy_bytes, one
from tfbundle import BundleError, FormatError, ImportOptions, UnsupportedError, import_tensors, load
from tfbundle.exporters.zip_directory import read_directory
from tfbundle.storage.local import LocalStorage

ARRAYS: dict[str, Any] = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4)),
    "big": np.arange(3, dtype=">f8"),
    "big columns": np.asfortranarray(np.arange(6, dtype=">c8").reshape(2, 3)),
    "scalar": np.float16(2.5),
    "none": np.zeros((0, 4)),
    "flags": np.array([True, False]),
    "a/b.c": np.ones((1, 300_000), np.uint8),
    "ä": np.uint64(2**63),
}


@pytest.mark.parametrize("packed", [False, True])
def test_what_numpy_saves(packed: bool, tmp_path: Path) -> None:
    (np.savez_compressed if packed else np.savez)(tmp_path / "m.npz", **ARRAYS)
    report = import_tensors(tmp_path / "m.npz", tmp_path / "m")
    found = load(tmp_path / "m")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        native = np.asarray(array).astype(array.dtype.newbyteorder("="))
        assert (found[name].dtype, found[name].shape) == (native.dtype, native.shape)
        assert found[name].tobytes() == native.tobytes()
    assert report.nbytes == sum(array.nbytes for array in ARRAYS.values())


def test_what_a_pipe_got(tmp_path: Path) -> None:
    """Where a writer cannot go back, sizes stand behind the member."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, array in ARRAYS.items():
            archive.writestr(f"{name}.npy", npy_bytes(array), zipfile.ZIP_DEFLATED)
    (tmp_path / "m.npz").write_bytes(pipe.getvalue())
    assert import_tensors(tmp_path / "m.npz", tmp_path / "m").num_shards == 1
    assert load(tmp_path / "m").keys() == ARRAYS.keys()


def test_zip64_and_comments(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.comment = b"PK\5\6 in the comment"
        for number in range(3):
            with archive.open(f"t{number}.npy", "w", force_zip64=True) as member:
                member.write(W)
    import_tensors(tmp_path / "m.npz", tmp_path / "m")
    assert list(load(tmp_path / "m")) == ["t0", "t1", "t2"]


def test_more_members_than_16_bits_count(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        for number in range(65_600):
            archive.writestr(f"{number}.npy", b"")
    with contextlib.closing(LocalStorage().open(str(tmp_path / "m.npz"))) as file:
        assert len(read_directory(file)) == 65_600


OBJECTS = npy_bytes(np.array([print, None], object), pickled=True)
TEXT = npy_bytes(np.array(["a", "bc"]))
RAW = npy_bytes(np.zeros(2, "V2"))
BOMB = deflate(npy_bytes(np.zeros(1 << 20, np.uint8)))

BAD: dict[str, tuple[bytes, str]] = {
    "an end alone, cut off": (b"PK\5\6", "without an end"),
    "no end": (one()[:-22], "without an end"),
    "cut off": (one()[:-1], "without an end"),
    "bytes behind": (MadeArchive([MEMBER], suffix=b"x").encode(), "without an end"),
    "bytes before": (MadeArchive([MEMBER], prefix=b"PK\3\4", directory_offset=1).encode(), "not where the end says"),
    "several parts": (MadeArchive([MEMBER], disk=1).encode(), "several parts"),
    "a directory elsewhere": (MadeArchive([MEMBER], directory_offset=0).encode(), "not where the end says"),
    "a longer directory": (MadeArchive([MEMBER], directory_nbytes=1 << 20).encode(), "not where the end says"),
    "zip64 without its end": (MadeArchive([MEMBER], directory_offset=0xFFFFFFFF).encode(), "zip64 end record"),
    "a count too large": (MadeArchive([MEMBER], count=2).encode(), "1 members, expected 2"),
    "a count too small": (MadeArchive([MEMBER, replace(MEMBER, name=b"v.npy")], count=1).encode(), "2 members"),
    "the same name": (MadeArchive([MEMBER, MEMBER]).encode(), "'w' twice"),
    "the same bytes": (MadeArchive([MEMBER, replace(MEMBER, name=b"v.npy", offset=0)]).encode(), "shares bytes"),
    "within another": (
        MadeArchive([replace(MEMBER, data=W + MEMBER.local(), nbytes=9), replace(MEMBER, offset=40)]).encode(),
        "is not packed, and has",
    ),
    "another header before it": (one(local_name=b"x.npy"), "not that of the member"),
    "no header before it": (one(local_magic=b"PK\3\5"), "not that of the member"),
    "in the directory": (one(offset=170), "lies in the directory"),
    "beyond the file": (one(offset=1 << 30), "lies in the directory"),
    "into the directory": (one(packed_nbytes=1 << 20, nbytes=1 << 20), "reaches into the directory"),
    "a size unlike the stored one": (one(nbytes=len(W) - 4), "is not packed, and has"),
    "a bomb": (one(method=8, nbytes=1 << 31), "a zip bomb"),
    "a checksum": (one(crc=1), "the CRC-32 does not match"),
    "a checksum, packed": (one(method=8, crc=1), "the CRC-32 does not match"),
    "no deflate": (one(method=8, packed=b"\xff" * 200), "cannot be unpacked"),
    "less than promised": (one(method=8, packed=deflate(W[:-2])), "unpacks to less"),
    "more than promised": (one(method=8, packed=deflate(W + b"x")), "unpacks to more"),
    "more packed bytes": (one(method=8, packed=deflate(W) + b"x"), "is not as long"),
    "packed bytes cut off": (one(method=8, packed=deflate(W)[:-1]), "is not as long"),
    "a name that is no UTF-8": (one(name=b"\xff.npy"), "no UTF-8"),
    "no array": (one(data=b"hello"), "no .npy file"),
    "an empty member": (one(data=b""), "no .npy file"),
    "an array cut off": (one(data=W[:-1]), "takes 12 bytes, 11 are there"),
    "bytes behind an array": (one(data=W + b"x"), "takes 12 bytes, 13 are there"),
    "a dtype of another width": (one(comment=b"tfbundle dtype float64"), "cannot be taken for float64"),
    "a larger claim": (
        one(data=W[:80].replace(b"(3,)", b"(9999999999,)")[:128].ljust(128, b" ") + W[128:]),
        "are there",
    ),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "objects": (one(data=OBJECTS), "pickled Python objects"),
    "text": (one(data=TEXT), "text"),
    "raw bytes": (one(data=RAW), "2 raw bytes an element; --as"),
    "dates": (one(data=npy_bytes(np.zeros(2, "M8[s]"))), "no counterpart"),
    "records": (one(data=npy_bytes(np.zeros(2, "i4,f4"))), "no counterpart"),
    "longdouble": (one(data=npy_bytes(np.zeros(2, np.longdouble))), "no counterpart"),
    "another file": (one(name=b"readme.txt"), "no .npy file"),
    "encrypted": (one(flags=0x801), "encrypted"),
    "lzma": (one(method=14), "another method"),
    "a dtype of tomorrow": (one(comment=b"tfbundle dtype float3"), "no dtype is called 'float3'"),
}


@pytest.mark.parametrize("name", BAD)
def test_damage(name: str, tmp_path: Path) -> None:
    data, message = BAD[name]
    (tmp_path / "m.npz").write_bytes(data)
    with pytest.raises(FormatError) as caught:
        import_tensors(tmp_path / "m.npz", tmp_path / "out" / "m", files=ImportOptions(skip_unsupported=True))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/m.npz: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.npz"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_tensor(name: str, tmp_path: Path) -> None:
    data, message = REFUSED[name]
    (tmp_path / "m.npz").write_bytes(data)
    with pytest.raises(UnsupportedError, match=r"--skip-unsupported .* leaves such arrays out") as caught:
        import_tensors(tmp_path / "m.npz", tmp_path / "m")
    assert message in str(caught.value)
    report = import_tensors(tmp_path / "m.npz", tmp_path / "m", files=ImportOptions(skip_unsupported=True))
    assert [message in tensor.reason for tensor in report.tensors] == [True]
    assert load(tmp_path / "m") == {}


def test_raw_bits(tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(one(data=RAW))
    import_tensors(tmp_path / "m.npz", tmp_path / "m", files=ImportOptions(dtypes=(("*", "bfloat16"),)))
    import tfbundle

    with tfbundle.open(tmp_path / "m") as bundle:
        assert bundle.entries["w"].dtype == "bfloat16"
    with pytest.raises(FormatError, match="2 bytes an element, which float32 with 4 cannot be"):
        import_tensors(tmp_path / "m.npz", tmp_path / "n", files=ImportOptions(dtypes=(("*", "float32"),)))


GOOD = [
    MadeArchive([MEMBER, MadeMember(b"x/y.npy", npy_bytes(np.asfortranarray(np.ones((2, 3)))), method=8)]).encode(),
    one(comment=b"tfbundle dtype qint32", data=npy_bytes(np.arange(3, dtype=np.int32))),
    MadeArchive([MEMBER], comment=b"!").encode(),
]


@given(st.data())
def test_damaged_archives(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Nothing but ``BundleError`` comes out."""
    room = tmp_path_factory.mktemp("damaged")
    changed = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255) | st.sampled_from([0, 255]))
    (room / "m.npz").write_bytes(changed[: data.draw(st.integers(0, len(changed)) | st.just(len(changed)))])
    with contextlib.suppress(BundleError):
        import_tensors(room / "m.npz", room / "m", files=ImportOptions(skip_unsupported=True))


def test_a_directory_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65534, 65534, 0xFFFFFFF0, 0, 0)
    with (tmp_path / "m.npz").open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(0xFFFFFFF0)
        file.seek(0xFFFFFFF0)
        file.write(end)
    with pytest.raises(FormatError, match="a directory of 4294967280 bytes, expected at most"):
        import_tensors(tmp_path / "m.npz", tmp_path / "m")
