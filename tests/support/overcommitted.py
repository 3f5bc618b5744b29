"""A filesystem on a disk that has promised more than it has: a file's old place is there to be read, not to be written.

The disk is a loop image on a tmpfs of its own, where the blocks of one file are taken back. As with a thin pool that
is full, its journal and everything else can be written, and what is written to that file is taken, and lost later on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.commands import run

SIZE = 1 << 20  # of the file, in bytes
_IMAGE_BYTES, _POOL_BYTES = 96 << 20, 100 << 20
_BLOCK = 4096
_EAGER = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"


class Overcommitted:
    """Such a disk. `root` is where its ext4 is mounted, with the file `source/data`."""

    def __init__(self, work: Path) -> None:
        self.root = work / "overcommitted"
        self.source = self.root / "source"
        self._pool = work / "pool"
        self._image = self._pool / "disk"
        self._filler = self._pool / "filler"

    def make(self) -> None:
        """Make and mount all of it; the file can be written still."""
        self._pool.mkdir()
        self.root.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={_POOL_BYTES}", "overcommitted", self._pool)
        with self._image.open("wb") as image:
            os.truncate(image.fileno(), _IMAGE_BYTES)
            run("mkfs.ext4", "-q", "-b", str(_BLOCK), "-E", _EAGER, self._image)
            os.posix_fallocate(image.fileno(), 0, _IMAGE_BYTES)  # what mkfs did not need to write
        run("mount", "-o", "loop,noatime", self._image, self.root)
        self.source.mkdir()
        (self.source / "data").write_bytes(os.urandom(SIZE))
        os.sync()

    def take_back(self) -> None:
        """From now on there is no room for the contents of `source/data`."""
        content = (self.source / "data").read_bytes()
        disk = self._image.read_bytes()
        for start in range(0, SIZE, _BLOCK):
            place = disk.index(content[start : start + _BLOCK])
            run("fallocate", "--punch-hole", "--offset", str(place), "--length", str(_BLOCK), self._image)
        with self._filler.open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(_BLOCK)):
                    pass
            except OSError:
                return

    def give_room(self) -> None:
        """There is room for everything again."""
        self._filler.unlink(missing_ok=True)

    def end(self) -> None:
        """Unmount and remove it."""
        self.give_room()
        for place in (self.root, self._pool):
            run("umount", place, check=False)
            place.rmdir()


@contextmanager
def overcommitted(work: Path) -> Iterator[Overcommitted]:
    """Give such a disk for the time of the block."""
    disk = Overcommitted(work)
    try:
        disk.make()
        yield disk
    finally:
        disk.end()
