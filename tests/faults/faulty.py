"""A file system that shows another directory, and fails as it is told to; for ``test_fuse.py``.

Usage: ``python -m tests.faults.faulty DIRECTORY CASES``; the second names a file with pairs of a scene's name and the
fields of a ``Fault``, as JSON.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.children import fork, wait
from tests.faults.namespaces import tell
from tests.faults.scenes import SCENES, Expected, Scene, expect, judge, run
from tests.support.handmade import files_of

TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        operation: of the file system, such as ``write``; ``""`` for none.
        how: the name of an error; or ``short``, ``nothing``, ``bigger``, ``smaller``, ``later``, ``done`` (which
            fails after it was done), ``undone`` (a rename that has removed its target, then fails), ``zeros``.
        number: of the call that fails, counted from 0; those of ``path`` only.
        repeated: every later call fails, too.
        path: a part of the paths that are meant.
        direct: the kernel keeps nothing, so that short reads and writes reach the command.
    """

    operation: str
    how: str
    number: int = 0
    repeated: bool = False
    path: str = ""
    direct: bool = True


class Faulty:
    """The operations of fusepy: those of the directory ``root``, with a fault."""

    use_ns = True

    def __init__(self, root: Path, fault: Fault, calls: Path) -> None:
        self._root = str(root)
        self._fault = fault
        self._calls = calls
        self.seen: Counter[str] = Counter()

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """Do an operation, or what is worse."""
        fault = self._fault
        path = next((argument for argument in arguments if isinstance(argument, str)), "")
        if operation in ("destroy", "init") or fault.path not in path:
            return getattr(self, operation)(*arguments)
        number = self.seen[operation]
        self.seen[operation] += 1
        if operation != fault.operation or number < fault.number or (number > fault.number and not fault.repeated):
            return getattr(self, operation)(*arguments)
        return self._fail(operation, *arguments)

    def _fail(self, operation: str, *arguments: Any) -> Any:
        do, how = getattr(self, operation), self._fault.how
        if hasattr(errno, how):
            raise OSError(getattr(errno, how), how)
        if how in ("done", "undone"):
            if how == "done":
                do(*arguments)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._at(arguments[1]))
            raise OSError(errno.EIO, how)
        return getattr(self, f"_{how}")(operation, *arguments)

    def _short(self, operation: str, path: str, what: Any, offset: int, handle: int) -> Any:
        if operation == "read":
            return self.read(path, what, offset, handle)[: max(1, what // 3)]
        return self.write(path, what[: max(1, len(what) // 3)], offset, handle)

    def _nothing(self, operation: str, *_: Any) -> Any:
        return b"" if operation == "read" else 0

    def _zeros(self, _operation: str, path: str, *_: Any) -> dict[str, int]:
        return dict.fromkeys(self.statfs(path), 0)

    def _bigger(self, _operation: str, path: str, handle: int | None) -> dict[str, int]:
        status = self.getattr(path, handle)
        return {**status, "st_size": status["st_size"] + 4096}

    def _smaller(self, _operation: str, path: str, handle: int | None) -> dict[str, int]:
        status = self.getattr(path, handle)
        return {**status, "st_size": max(0, status["st_size"] - 10)}

    def _later(self, _operation: str, path: str, handle: int | None) -> dict[str, int]:
        status = self.getattr(path, handle)
        return {**status, "st_mtime": status["st_mtime"] + 1000 * sum(self.seen.values())}

    def _at(self, path: str) -> str:
        return self._root + path

    def init(self, _path: str) -> None:
        """Begin."""

    def destroy(self, _path: str) -> None:
        """Leave behind how many calls there were."""
        self._calls.write_text(json.dumps(self.seen))

    def getattr(self, path: str, _handle: int | None = None) -> dict[str, int]:
        """Return a file's status; the last piece of its path is looked at, not followed."""
        status = os.lstat(self._at(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_ino")
        times = {f"st_{kind}": getattr(status, f"st_{kind}_ns") for kind in ("atime", "mtime", "ctime")}
        return {**{name: getattr(status, name) for name in names}, **times}

    def statfs(self, path: str) -> dict[str, int]:
        """Return how full the disk is."""
        status = os.statvfs(self._at(path))
        return {name: getattr(status, name) for name in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail")}

    def opendir(self, _path: str) -> int:
        """Open a directory."""
        return 0

    def releasedir(self, _path: str, _handle: int) -> None:
        """Close a directory."""

    def readdir(self, path: str, _handle: int) -> Iterator[str]:
        """List a directory."""
        yield from (".", "..", *os.listdir(self._at(path)))

    def fsyncdir(self, path: str, *_: int) -> None:
        """Sync a directory."""

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        os.mkdir(self._at(path), mode)

    def rmdir(self, path: str) -> None:
        """Remove a directory."""
        os.rmdir(self._at(path))

    def create(self, path: str, mode: int) -> int:
        """Make and open a file."""
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        return os.open(self._at(path), flags & os.O_ACCMODE)

    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        """Read."""
        return os.pread(handle, size, offset)

    def write(self, _path: str, data: bytes, offset: int, handle: int) -> int:
        """Write."""
        return os.pwrite(handle, data, offset)

    def truncate(self, path: str, nbytes: int, _handle: int | None = None) -> None:
        """Set a file's size."""
        os.truncate(self._at(path), nbytes)

    def fallocate(self, _path: str, offset: int, nbytes: int, handle: int) -> None:
        """Claim room."""
        os.posix_fallocate(handle, offset, nbytes)

    def flush(self, _path: str, _handle: int) -> None:
        """Be told that a descriptor is closed."""

    def fsync(self, _path: str, _datasync: int, handle: int) -> None:
        """Sync a file."""

    def release(self, _path: str, handle: int) -> None:
        """Close a file."""
        os.close(handle)

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        os.rename(self._at(old), self._at(new))

    def link(self, target: str, source: str) -> None:
        """Make another name of a file."""
        os.link(self._at(source), self._at(target))

    def unlink(self, path: str) -> None:
        """Remove a name of a file."""
        os.unlink(self._at(path))

    def access(self, _path: str, _mode: int) -> None:
        """Permit everything."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # fusepy leaves out what is not there, as in ENOSYS


def serve(root: Path, mount_point: Path, fault: Fault, calls: Path) -> int:
    """Be the file system until it is unmounted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fuse_class()(
            Faulty(root, fault, calls),
            str(mount_point),
            foreground=True,
            nothreads=True,
            direct_io=fault.direct,
            attr_timeout=0,
            entry_timeout=0,
            hard_remove=True,
        )
    return 0


def fuse_class() -> Any:
    """Return fusepy's class with one more operation, ``fallocate``, which libfuse has and fusepy does not."""
    import ctypes

    import fuse

    info, path = ctypes.POINTER(fuse.fuse_file_info), ctypes.c_char_p
    function = ctypes.CFUNCTYPE(ctypes.c_int, path, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong, info)
    skipped = [(name, ctypes.c_void_p) for name in ("poll", "write_buf", "read_buf", "flock")]

    class Operations(ctypes.Structure):
        _fields_ = [*fuse.fuse_operations._fields_, *skipped, ("fallocate", function)]

    class WithFallocate(fuse.FUSE):  # type: ignore[misc]
        def fallocate(self, path: bytes, _mode: int, offset: int, nbytes: int, info: Any) -> None:
            self.operations("fallocate", path.decode(), offset, nbytes, info.contents.fh)

    fuse.fuse_operations = Operations
    return WithFallocate


@contextlib.contextmanager
def mounted(root: Path, mount_point: Path, fault: Fault, calls: Path) -> Iterator[None]:
    """Have the file system at a mount point."""
    server = fork(lambda: serve(root, mount_point, fault, calls))
    try:
        while not os.path.ismount(mount_point):
            assert os.waitpid(server, os.WNOHANG) == (0, 0), "the file system ended"
            time.sleep(0.002)
        yield
    finally:
        subprocess.run(["umount", str(mount_point)], check=True)
        wait(server)


def try_fault(scene: Scene, expected: Expected, fault: Fault, directory: Path) -> tuple[int, str, str, dict[str, int]]:
    """Run a scene's command with a fault; return its exit status, its message, what is there, and the calls seen."""
    root, mount_point, messages, calls = (directory / name for name in ("root", "mount", "messages", "calls"))
    for path in (root, mount_point):
        path.mkdir(exist_ok=True)
    scene.prepare(root)

    def act() -> int:
        signal.alarm(TIMEOUT_SECONDS)  # which ends it
        status, errors = run(scene.command(mount_point))
        messages.write_text(errors)
        return status

    messages.write_text("")
    with mounted(root, mount_point, fault, calls):
        status = wait(fork(act))
    found = judge(scene, expected, files_of(root))
    left = [path for path in files_of(root) if ".tmp-" in path]
    return (
        status,
        messages.read_text(),
        found + (f" with {len(left)} left" if left else ""),
        json.loads(calls.read_text()),
    )


def main(directory: str, cases: str) -> None:
    """Try every case, and tell what came of it."""
    pairs = json.loads(Path(cases).read_text())
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)  # seen by this process alone, and quick
    expected = {name: expect(SCENES[name], Path(directory) / "expected") for name in {name for name, _ in pairs}}
    for name, fields in pairs:
        tell(name, fields, *try_fault(SCENES[name], expected[name], Fault(**fields), Path(directory)))


if __name__ == "__main__":
    main(*sys.argv[1:])
