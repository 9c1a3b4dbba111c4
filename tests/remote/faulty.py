"""A file system in memory that counts what is asked of it, and fails where a test wants it to.

As an object store it shows a file only when its upload is completed, and knows uploads that were neither completed nor
given up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

PROTOCOL = "faulty"


class FaultyFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """See the module; everything is shared by all instances."""

    protocol = PROTOCOL
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    calls: ClassVar[list[tuple[str, str]]] = []
    uploads: ClassVar[set[str]] = set()
    before: ClassVar[Callable[[int, str, str], None] | None] = None
    """Is called with number, kind and path of a request before it is carried out; raises what is to happen."""
    after: ClassVar[Callable[[int, str, str], None] | None] = None

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.removeprefix(f"{PROTOCOL}://") if isinstance(path, str) else path)

    @classmethod
    def reset(cls, before: Callable[[int, str, str], None] | None = None) -> None:
        """Begin to count anew."""
        cls.calls.clear()
        cls.before = before
        cls.after = None

    @classmethod
    def clear(cls) -> None:
        """Remove everything."""
        cls.store.clear()
        cls.uploads.clear()
        cls.reset()

    @classmethod
    def request(cls, kind: str, path: str) -> None:
        """Count a request; perhaps let it fail."""
        cls.calls.append((kind, path))
        if cls.before is not None:
            cls.before(len(cls.calls), kind, path)

    @classmethod
    def done(cls, kind: str, path: str) -> None:
        """A request was carried out; perhaps its answer is lost."""
        if cls.after is not None:
            cls.after(len(cls.calls), kind, path)

    def info(self, path: str, **options: Any) -> Any:
        self.request("info", path)
        return super().info(path, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self.request("list", path)
        return super().ls(path, detail=detail, **options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        self.request("get", path)
        return super().cat_file(path, start, end, **options)

    def rm_file(self, path: str) -> None:
        self.request("delete", path)
        super()._rm(path)
        self.done("delete", path)

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        self.request("copy", path2)
        super().cp_file(path1, path2, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self.request("put", path)
        super().open(path, "wb", data=bytes(value), whole=True)
        self.done("put", path)

    def _open(self, path: str, mode: str = "rb", whole: bool = False, **options: Any) -> Any:
        if mode == "wb" and not whole:
            return Upload(self, path, mode, options.get("block_size") or 1, autocommit=options["autocommit"])
        return super()._open(path, mode, **options)


class Upload(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is visible when it is committed."""

    def _initiate_upload(self) -> None:
        FaultyFileSystem.request("begin", self.path)
        FaultyFileSystem.uploads.add(self.path)
        self.parts: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        FaultyFileSystem.request("part", self.path)
        self.parts.append(self.buffer.getvalue())
        return True

    def commit(self) -> None:
        FaultyFileSystem.request("complete", self.path)
        MemoryFileSystem.open(self.fs, self.path, "wb", data=b"".join(self.parts), whole=True)
        FaultyFileSystem.uploads.discard(self.path)
        FaultyFileSystem.done("complete", self.path)

    def discard(self) -> None:
        FaultyFileSystem.request("abort", self.path)
        FaultyFileSystem.uploads.discard(self.path)


fsspec.register_implementation(PROTOCOL, FaultyFileSystem, clobber=True)
