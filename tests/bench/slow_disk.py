"""A disk that takes its time with each read and write, and does many at once, as network storage does.

A loop device over the one file of a small FUSE filesystem, which sleeps before it answers. It does what device-mapper's
"delay" does, on kernels that have no device-mapper as well.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyfuse3
import trio

from appliance.linux import mounts
from tests.support.children import Child
from tests.support.commands import run
from tests.support.patience import until

_FILE = pyfuse3.InodeT(2)
_NAME = b"disk"
_MOST = 128  # requests that the kernel has under way at once


class _Disk(pyfuse3.Operations):
    """One file, which is `image` and answers after so many seconds."""

    def __init__(self, image: int, seconds: float) -> None:
        super().__init__()
        self._image = image
        self._seconds = seconds

    async def getattr(self, inode: pyfuse3.InodeT, ctx: object = None) -> pyfuse3.EntryAttributes:  # noqa: ARG002
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = pyfuse3.ModeT(stat.S_IFREG | 0o600 if inode == _FILE else stat.S_IFDIR | 0o700)
        entry.st_size = os.fstat(self._image).st_size
        entry.attr_timeout = entry.entry_timeout = 3600
        return entry

    async def lookup(
        self, parent_inode: pyfuse3.InodeT, name: bytes, ctx: object  # noqa: ARG002
    ) -> pyfuse3.EntryAttributes:
        if name != _NAME:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(_FILE, ctx)

    async def setattr(self, inode: pyfuse3.InodeT, *_: object) -> pyfuse3.EntryAttributes:
        return await self.getattr(inode)

    async def open(self, inode: pyfuse3.InodeT, flags: int, ctx: object) -> pyfuse3.FileInfo:  # noqa: ARG002
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(inode))

    async def read(self, fh: pyfuse3.FileHandleT, off: int, size: int) -> bytes:  # noqa: ARG002
        await trio.sleep(self._seconds)
        return os.pread(self._image, size, off)

    async def write(self, fh: pyfuse3.FileHandleT, off: int, buf: bytes) -> int:  # noqa: ARG002
        await trio.sleep(self._seconds)
        return os.pwrite(self._image, buf, off)

    async def fsync(self, fh: pyfuse3.FileHandleT, datasync: bool) -> None:  # noqa: ARG002
        await trio.sleep(self._seconds)


@contextmanager
def slow_disk(image: Path, milliseconds: int) -> Iterator[Path]:
    """Give a block device over a file that answers each read and write after so long."""
    place = image.with_name(f"{image.name}.slow")
    place.mkdir()

    def serve() -> None:
        pyfuse3.init(_Disk(os.open(image, os.O_RDWR), milliseconds / 1000), str(place), {"fsname=slow-disk"})
        trio.run(pyfuse3.main, 1, _MOST)
        pyfuse3.close(unmount=False)

    with Child(serve):
        until(place.is_mount, "the slow disk is not mounted")
        try:
            # Past the page cache, or the loop device would do one request after the other.
            loop = Path(run("losetup", "--direct-io=on", "--find", "--show", place / _NAME.decode()).strip())
            try:
                yield loop
            finally:
                run("losetup", "--detach", loop)
        finally:
            # The loop device goes only when the last who has it open has gone.
            until(lambda: _unmounted(place), "the slow disk stays in use")
    place.rmdir()


def _unmounted(place: Path) -> bool:
    with suppress(OSError):
        mounts.umount(place, 0)
    return not place.is_mount()
