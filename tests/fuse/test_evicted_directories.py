"""A directory that the kernel has forgotten is found again by its handle, and so is the way from it to the root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuse.conftest import StartDaemon
from tests.support.children import in_child
from tests.support.daemon import Daemon
from tests.support.filesystems import ONE_PER_CODEC, Filesystem
from tests.support.witness import Witness, drop_caches, mark, open_by_handle, opened_root, take

pytestmark = pytest.mark.fuse

FILESYSTEMS = ONE_PER_CODEC  # what the kernel asks anew is by node id

_DEPTH = 40


def _deep_directory(daemon: Daemon, disk: Filesystem, top: str) -> Witness:
    name = Path(top, *(f"level {level}" for level in range(_DEPTH)))
    (daemon.mountpoint / name).mkdir(parents=True)
    for level in range(_DEPTH):  # company for each: the right name must be found among others
        for other in range(5):
            (daemon.mountpoint / Path(*name.parts[: level + 1]) / f"other-{other}").mkdir()
    mark(bytes(disk.source / name))
    return take(daemon.mountpoint, disk.source, bytes(name))


def _paths(daemon: Daemon, witness: Witness) -> tuple[str, str, str]:
    """Open the directory by its handle; return three ways in which the kernel tells its path on the mount."""

    def find() -> tuple[str, str, str]:
        with opened_root(daemon.mountpoint) as root:
            directory = open_by_handle(root, witness.handle, os.O_RDONLY | os.O_DIRECTORY)
        magic = os.readlink(f"/proc/self/fd/{directory}")
        os.chdir(directory)
        current = os.getcwd()
        steps = []
        while not os.path.samestat(os.stat("."), os.stat(daemon.mountpoint)):
            here = os.stat(".").st_ino
            os.chdir("..")
            steps.append(next(entry.name for entry in os.scandir(".") if entry.inode() == here))
        return magic, current, os.path.join(daemon.mountpoint, *reversed(steps))

    return in_child(find)


def _expected(daemon: Daemon, witness: Witness) -> tuple[str, str, str]:
    path = os.path.join(daemon.mountpoint, os.fsdecode(witness.name))
    return path, path, path


def test_evicted_directory_knows_its_path(disk: Filesystem, own_daemon: Daemon) -> None:
    witness = _deep_directory(own_daemon, disk, "evicted-directories")
    for _ in range(3):
        drop_caches()
        assert _paths(own_daemon, witness) == _expected(own_daemon, witness)


def test_evicted_directory_knows_its_path_from_new_workers(disk: Filesystem, own_daemon: Daemon) -> None:
    witness = _deep_directory(own_daemon, disk, "evicted-killed")
    own_daemon.kill_workers()
    drop_caches()
    assert _paths(own_daemon, witness) == _expected(own_daemon, witness)


def test_directory_knows_its_path_on_a_new_mount(disk: Filesystem, start: StartDaemon) -> None:
    with start() as first:
        witness = _deep_directory(first, disk, "evicted-remounted")
    with start() as second:  # nothing was ever looked up here: all names are found upwards from the handle
        assert _paths(second, witness) == _expected(second, witness)


def test_evicted_directory_that_was_moved_knows_its_new_path(disk: Filesystem, own_daemon: Daemon) -> None:
    witness = _deep_directory(own_daemon, disk, "evicted-moved")
    moved = own_daemon.mountpoint / "evicted-moved" / "level 0" / "level 1"
    moved.rename(own_daemon.mountpoint / "evicted-new-place")
    drop_caches()
    rest = [f"level {level}" for level in range(2, _DEPTH)]
    expected = os.path.join(own_daemon.mountpoint, "evicted-new-place", *rest)
    assert _paths(own_daemon, witness) == (expected, expected, expected)


def test_directories_outside_are_not_reached_by_dot_dot(disk: Filesystem, shared_daemon: Daemon) -> None:
    with opened_root(shared_daemon.mountpoint) as root:
        above = os.stat("..", dir_fd=root)
        assert os.path.samestat(above, os.stat(shared_daemon.mountpoint.parent))
        assert not os.path.samestat(above, os.stat(disk.source.parent))
