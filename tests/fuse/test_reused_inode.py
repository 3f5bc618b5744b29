"""A handle does not open the file that has its inode number now, on filesystems that use the numbers again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.fuse.test_stale import errno_on, new_witness
from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem
from tests.support.posix.files import content, make, opened
from tests.support.witness import Witness, drop_caches, faults, mark, take

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4", "ext4-inode128", "xfs", "xfs-inode32", "xfs-grown", "overlay")

_ATTEMPTS = 100
_FILES_EACH = 150
_NEIGHBOURS = 64  # as many inodes as xfs has in a chunk


def _impostor(victim: Witness, inode: int, disk: Filesystem, daemon: Daemon) -> Path:
    """Create files on the mount until one has the inode number on the source; return its name."""
    made: list[Path] = []
    try:
        for attempt in range(_ATTEMPTS):
            for number in range(_FILES_EACH):
                made.append(Path(f"{os.fsdecode(victim.name)}-{attempt}-{number}"))
                make(bytes(daemon.mountpoint / made[-1]), b"impostor")
                if (disk.source / made[-1]).stat().st_ino == inode:
                    return made.pop()
            time.sleep(0.1)  # it may not be free yet: xfs lets go of inodes in the background, as we do
    finally:
        for name in made:
            os.unlink(daemon.mountpoint / name)
    pytest.fail(f"{disk.kind} did not use inode {inode} again")


def _new_victim(daemon: Daemon, disk: Filesystem, name: str) -> Witness:
    """Make the file between others: xfs gives up a chunk of inodes of which none is in use, and its numbers with it."""
    for number in range(_NEIGHBOURS):
        make(bytes(daemon.mountpoint / f"{name}-before-{number}"))
    victim = new_witness(daemon, disk, name)
    for number in range(_NEIGHBOURS):
        make(bytes(daemon.mountpoint / f"{name}-after-{number}"))
    return victim


def _check(victim: Witness, inode: int, disk: Filesystem, daemon: Daemon) -> None:
    name = _impostor(victim, inode, disk, daemon)
    assert errno_on(daemon, victim.handle) == "ESTALE"
    drop_caches()
    assert errno_on(daemon, victim.handle) == "ESTALE"
    assert content(bytes(daemon.mountpoint / name)) == b"impostor"
    mark(bytes(disk.source / name))
    taken = take(daemon.mountpoint, disk.source, bytes(name))
    assert taken.handle != victim.handle
    assert faults(daemon.mountpoint, [taken]) == []


@pytest.mark.parametrize("round_", range(3))
def test_unlinked_file_is_stale(round_: int, disk: Filesystem, shared_daemon: Daemon) -> None:
    victim = _new_victim(shared_daemon, disk, f"reused-{round_}")
    inode = (disk.source / f"reused-{round_}").stat().st_ino
    os.unlink(shared_daemon.mountpoint / f"reused-{round_}")
    _check(victim, inode, disk, shared_daemon)


def test_unlinked_file_that_every_worker_has_just_used_is_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    victim = _new_victim(shared_daemon, disk, "reused-used")
    inode = (disk.source / "reused-used").stat().st_ino
    for _ in range(100):  # both workers get their turns
        with opened(bytes(shared_daemon.mountpoint / "reused-used"), os.O_RDWR) as file:
            os.pwrite(file, b"again", 0)
    os.unlink(shared_daemon.mountpoint / "reused-used")
    _check(victim, inode, disk, shared_daemon)


def test_file_unlinked_behind_the_mount_is_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    victim = _new_victim(shared_daemon, disk, "reused-behind")
    inode = (disk.source / "reused-behind").stat().st_ino
    drop_caches()
    os.unlink(disk.source / "reused-behind")
    answer = errno_on(shared_daemon, victim.handle)
    assert answer == "ESTALE" or faults(shared_daemon.mountpoint, [victim]) == []
    for _ in range(100):  # whoever held it lets go of it in time
        drop_caches()
        if errno_on(shared_daemon, victim.handle) == "ESTALE":
            break
        time.sleep(0.3)
    _check(victim, inode, disk, shared_daemon)
