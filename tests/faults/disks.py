"""File systems in image files, and pulling their plug."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from pathlib import Path

NBYTES = {"ext4": 64 << 20, "xfs": 320 << 20}  # xfs has no smaller ones; both are sparse
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
_WITHOUT_LOG = 2  # what is only in memory, the journal included, is lost


class Disk:
    """A file system of its own on a loop device, which the kernel frees when it is unmounted.

    To be used in a mount namespace.

    Args:
        kind: ``ext4`` or ``xfs``.
        directory: where the image and the mount point are made.
    """

    def __init__(self, kind: str, directory: Path) -> None:
        self._kind = kind
        self._image = directory / f"{kind}.img"
        self.root = directory / "disk"
        self.root.mkdir()
        with open(self._image, "wb") as file:
            file.truncate(NBYTES[kind])
        _do(*MAKE[kind], str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it; what its journal has is replayed."""
        _do("mount", "-t", self._kind, "-o", "loop", str(self._image), str(self.root))

    def unmount(self) -> None:
        """Unmount it."""
        _do("umount", str(self.root))

    def sync(self) -> None:
        """Bring everything to the disk."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
                raise OSError(ctypes.get_errno(), "syncfs")
        finally:
            os.close(descriptor)

    def cut_power(self) -> None:
        """Lose everything that is not on the disk yet; nothing can be read or written until it is mounted again."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(descriptor)

    def restart(self) -> None:
        """Mount it again after the power came back."""
        self.unmount()
        self.mount()


def _do(*command: str) -> None:
    variables = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    subprocess.run(command, check=True, capture_output=True, env=variables)
