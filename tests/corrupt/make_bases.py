"""Write the bundles that the mutation tests damage, with TensorFlow.

Run ``python -m tests.corrupt.make_bases`` by hand; the files are committed: ``plain``, and the same tensors in four
data files (``shards``) and with a compressed index (``snappy``), which TensorFlow no longer writes.
"""

from __future__ import annotations

import os
from pathlib import Path

FILES = Path(__file__).resolve().parent / "files"
BASES = ("plain", "shards", "snappy")

REQUESTS = (("f", 1), ("i", 9), ("p", 1), ("s", 7))
"""Name and dtype of each tensor."""


def base_files(base: str) -> dict[str, bytes]:
    """Return the contents of a base's files by what follows the prefix in their names."""
    return {path.name.removeprefix(base): path.read_bytes() for path in sorted(FILES.glob(f"{base}.*"))}


def main() -> None:
    """Write all files."""
    from cramjam import snappy

    from tests.support.requirements import tensorflow
    from tests.support.tables import assemble_table, plain_block, read_rows

    tf = tensorflow()
    FILES.mkdir(exist_ok=True)
    values = {
        "f": tf.constant([[0, 1, 2], [3, 4, 5]], tf.float32),
        "i": tf.constant(-7, tf.int64),
        "s": tf.constant([b"hello", b"hi"]),
        "p": tf.constant([[1, 2], [3, 4], [5, 6], [7, 8]], tf.float32),
    }
    save(tf, "plain", [("f", "", values["f"]), ("i", "", values["i"]), ("s", "", values["s"]), *halves(values["p"])])
    parts = [
        [("f", "", values["f"])],
        [("i", "", values["i"]), ("s", "", values["s"])],
        *([half] for half in halves(values["p"])),
    ]
    names = [f"part{number}" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        save(tf, name, part)
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(FILES / name) for name in names], destination_prefix=str(FILES / "shards")
    )
    index = (FILES / "plain.index").read_bytes()
    contents = plain_block(read_rows(index))
    stream = bytes(snappy.compress_raw(contents))
    (FILES / "snappy.index").write_bytes(assemble_table([(b"t", stream)], 1))
    data = "plain.data-00000-of-00001"
    (FILES / data.replace("plain", "snappy")).write_bytes((FILES / data).read_bytes())
    print(*sorted(os.listdir(FILES)), sep="\n")


def halves(tensor: object) -> list[tuple[str, str, object]]:
    """Return a matrix of 4 rows as two slices."""
    return [("p", "4 2 0,2:-", tensor[:2]), ("p", "4 2 2,2:-", tensor[2:])]  # type: ignore[index]


def save(tf: object, name: str, tensors: list[tuple[str, str, object]]) -> None:
    """Write a bundle of (name, shape and slice, value)."""
    names, slices, values = zip(*tensors, strict=True)
    tf.raw_ops.SaveV2(prefix=str(FILES / name), tensor_names=names, shape_and_slices=slices, tensors=values)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
