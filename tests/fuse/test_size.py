"""A worker's memory and descriptors depend on its work of the moment, not on how many inodes it has ever seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem
from tests.support.posix.files import opened
from tests.support.processes import descriptor_count, resident_kilobytes
from tests.support.witness import drop_caches

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)  # it is the daemon that is measured, and it takes long

_DIRECTORIES = 200
_FILES_EACH = 1000
_WARM = 50  # directories after which caches are full and the allocator has what it needs
_READ_EVERY = 4  # every fourth file is opened and read as well
# Tables of the 150,000 inodes in between would take 15 MB and more at a hundred bytes each.
_MOST_GROWTH_KB = 3_000
_MOST_DESCRIPTORS = 3 * 1024 + 100  # a path, a reading and a writing one for each node of the cache, and some own


@pytest.fixture(scope="module")
def forest(disk: Filesystem) -> str:
    """The name of a tree of 200,000 files, made behind the mount."""
    top = disk.source / "forest"
    top.mkdir()
    for number in range(_DIRECTORIES):
        (top / str(number)).mkdir()
        with opened(bytes(top / str(number)), os.O_RDONLY) as directory:
            for file in range(_FILES_EACH):
                os.mknod(str(file), 0o600, dir_fd=directory)
    return top.name


def _visit(directory: Path, *, listed: bool) -> int:
    """Stat every file of one directory and read some, found by a listing or by name; return how many there are."""
    with opened(bytes(directory), os.O_RDONLY) as descriptor:
        names = os.listdir(descriptor) if listed else [str(file) for file in range(_FILES_EACH)]
        for number, name in enumerate(names):
            os.stat(name, dir_fd=descriptor)
            if number % _READ_EVERY == 0:
                file = os.open(name, os.O_RDONLY, dir_fd=descriptor)
                os.read(file, 10)
                os.close(file)
    return len(names)


def _sizes(family: list[int]) -> dict[int, tuple[int, int]]:
    """Return resident KiB and number of descriptors of processes, which must live."""
    return {pid: (resident_kilobytes(pid), descriptor_count(pid)) for pid in family}


@pytest.mark.timeout(1800)
def test_workers_do_not_grow_with_the_inodes_seen(
    forest: str, own_daemon: Daemon, record_property: Callable[[str, object], None]
) -> None:
    seen = 0
    sizes: dict[int, tuple[int, int]] = {}
    # The main process, the pool process and the workers; a slow request may have others started for a while.
    family = [own_daemon.process.pid, own_daemon.pool, *own_daemon.full_pool()]
    for number in range(_DIRECTORIES):
        seen += _visit(own_daemon.mountpoint / forest / str(number), listed=number % 2 == 0)
        if number + 1 == _WARM:
            sizes = _sizes(family)
        if number % 20 == 19:
            drop_caches()  # so that the kernel forgets them, and says so
    last = _sizes(family)
    grown = {pid: after - sizes[pid][0] for pid, (after, _) in last.items()}
    descriptors = {pid: count for pid, (_, count) in last.items()}
    measured = f"{seen:,} inodes: KiB grown {[*grown.values()]}, descriptors {[*descriptors.values()]}"
    record_property("size", measured)
    assert seen == _DIRECTORIES * _FILES_EACH
    assert max(grown.values()) < _MOST_GROWTH_KB
    assert max(descriptors.values()) < _MOST_DESCRIPTORS
