"""Files that hold a graph: ``.meta``, ``saved_model.pb``, frozen ``.pb``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from tfbundle.bundle.locate import check_not_pointer
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.meta_graph import MAX_GRAPH_NBYTES
from tfbundle.storage.base import ReadableFile, Storage
from tfbundle.storage.stream import Stream


@contextmanager
def open_graph_file(path: str, storage: Storage) -> Iterator[ReadableFile]:
    """Open a file that is no larger than a graph can be.

    Raises:
        BundleNotFoundError: there is none.
        FormatError: a Git LFS pointer, or too large.
    """
    with closing(storage.open(path)) as file:
        check_not_pointer(file)
        if file.nbytes > MAX_GRAPH_NBYTES:
            raise FormatError(f"{file.nbytes} bytes are too many for a graph, expected at most {MAX_GRAPH_NBYTES}")
        file.expect([(0, file.nbytes)])
        yield file


def read_graph_file(path: str, storage: Storage) -> bytes:
    """Return what a file holds that is no larger than a graph can be.

    Raises:
        BundleNotFoundError, FormatError: as ``open_graph_file``; or it changed in the meantime.
    """
    with open_graph_file(path, storage) as file:
        data = file.read(0, file.nbytes)
        file.check_unchanged()
    return data


def from_unchanged(file: ReadableFile, stream: Stream) -> Stream:
    """Return a stream that is made of a file, and fails at its end if the file has changed since it was opened."""

    def pieces() -> Iterator[bytes]:
        yield from stream.pieces()
        file.check_unchanged()

    return Stream(stream.nbytes, pieces)


@contextmanager
def blaming(path: str) -> Iterator[None]:
    """Add the path of a graph to errors that do not say where they come from."""
    try:
        yield
    except FormatError as error:
        raise error.add_path(path) from error
    except UnsupportedError as error:
        raise UnsupportedError(error.reason, error.path or path) from error
