"""Reading a template: which tensors a graph, or another checkpoint, wants a checkpoint to hold."""

from __future__ import annotations

from collections.abc import Callable

from tfbundle.bundle.graph_file import blaming, read_graph_file
from tfbundle.bundle.locate import SAVED_MODEL_FILENAME, PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.format.meta_graph import decode_meta_graph, decode_saved_model
from tfbundle.format.naming import META_SUFFIX
from tfbundle.format.wanted import Wanted
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage


def read_template(path: PathLike, storage: Storage | None = None) -> dict[str, Wanted]:
    """Return what the tensors of a checkpoint should be for a graph, or to be like another checkpoint.

    Args:
        path: a ``.meta`` file or a ``saved_model.pb``, which says what its saver restores; or any path that ``open``
            takes for a checkpoint, of which only the index is read. A SavedModel's directory means its checkpoint. A
            ``.meta`` that is not there means the checkpoint it would belong to.
        storage: where the files are; wherever the path leads by default.

    Returns:
        What is wanted, by name. A graph of 2 GiB, the largest there can be, takes several times as much memory.

    Raises:
        BundleNotFoundError: nothing there.
        FormatError: the graph or the index is damaged.
        UnsupportedError: another kind of file, or a graph whose saver cannot be followed.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> prefix = tempfile.mkdtemp() + "/model"
        >>> tfbundle.save(prefix, {"w": np.zeros((2, 3), np.float16)})
        >>> read_template(prefix)
        {'w': Wanted(dtype='float16', shape=(2, 3), slices=())}
    """
    storage = storage or Anywhere()
    text = storage.admit(path)
    decode = _graph_decoder(text)
    if decode is not None and storage.exists(text) and not storage.is_directory(text):
        return _read_graph(text, decode, storage)
    with open_bundle(text, storage=storage) as bundle:
        return _describe(bundle)


_Decoder = Callable[[bytes], dict[str, Wanted]]


def _graph_decoder(path: str) -> _Decoder | None:
    if path.endswith(META_SUFFIX):
        return decode_meta_graph
    return decode_saved_model if paths.basename(path) == SAVED_MODEL_FILENAME else None


def _read_graph(path: str, decode: _Decoder, storage: Storage) -> dict[str, Wanted]:
    with blaming(path):
        return decode(read_graph_file(path, storage))


def _describe(bundle: BundleReader) -> dict[str, Wanted]:
    return {
        name: Wanted(kind.dtype, kind.shape, tuple(sorted(bundle.entry(name).slices)) if kind.num_slices else ())
        for name, kind in bundle.list_tensors().iter_kinds()
    }
