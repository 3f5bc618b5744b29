"""A handle taken on the mount opens the same file, whatever has happened to caches, workers and daemon since."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.conftest import StartDaemon
from tests.support.daemon import Daemon
from tests.support.filesystems import KINDS, Filesystem
from tests.support.posix.files import make
from tests.support.witness import Witness, drop_caches, faults, mark, take

pytestmark = pytest.mark.fuse

FILESYSTEMS = KINDS

_FILES = 300


def _populate(top: Path) -> None:
    """Make one file of each type and many plain ones, all different, below `top`, which is on the mount."""
    dice = random.Random(str(top))
    top.mkdir()
    before = os.getcwd()
    os.chdir(top)
    try:
        make("empty")
        make("large", dice.randbytes(3_000_000))
        make(b"\xff not utf-8", b"bytes")
        make("n" * 255, b"longest name")
        make("renamed-later", b"renamed")
        os.rename("renamed-later", "renamed")
        make("first-name", b"linked")
        os.link("first-name", "second-name")
        os.symlink("nowhere at all", "symlink")
        os.mkfifo("fifo")
        os.mknod("socket", stat.S_IFSOCK | 0o600)
        os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        make("unreadable", b"for root", 0o000)
        deep = "/".join(f"level-{level}" for level in range(25))
        os.makedirs(deep)
        make(f"{deep}/file", b"deep")
        os.mkdir("many")
        for number in range(_FILES):
            make(f"many/{number}", dice.randbytes(dice.randrange(9000)))
    finally:
        os.chdir(before)


def _witnesses(daemon: Daemon, disk: Filesystem, name: str) -> list[Witness]:
    top = disk.source / name
    _populate(daemon.mountpoint / name)
    paths = [bytes(top)]
    for directory, directories, files in os.walk(bytes(top)):
        paths += [os.path.join(directory, entry) for entry in directories + files]
    for path in paths:
        mark(path)
    taken = [take(daemon.mountpoint, disk.source, os.path.relpath(path, bytes(disk.source))) for path in paths]
    assert len({witness.handle for witness in taken}) == len(taken) - 1, "all differ, but for the two links"
    return taken


def _nothing(daemon: Daemon) -> None:
    pass


def _drop(daemon: Daemon) -> None:
    drop_caches()


def _kill_workers(daemon: Daemon) -> None:
    daemon.kill_workers()
    drop_caches()


def _kill_pool(daemon: Daemon) -> None:
    daemon.kill_pool()
    drop_caches()


def _kill_workers_without_rest(daemon: Daemon) -> None:
    for _ in range(5):
        daemon.kill_workers()
    drop_caches()


@pytest.mark.parametrize("event", [_nothing, _drop, _kill_workers, _kill_pool, _kill_workers_without_rest])
def test_handle_opens_the_same_file_after(
    event: Callable[[Daemon], None], disk: Filesystem, own_daemon: Daemon
) -> None:
    witnesses = _witnesses(own_daemon, disk, f"handles{event.__name__}")
    event(own_daemon)
    assert faults(own_daemon.mountpoint, witnesses) == []


def test_handle_opens_the_same_file_after_remount(disk: Filesystem, start: StartDaemon) -> None:
    with start() as first:
        witnesses = _witnesses(first, disk, "handles-remount")
    assert not os.path.ismount(first.mountpoint)
    drop_caches()
    with start() as second:
        assert second.process.pid != first.process.pid
        assert faults(second.mountpoint, witnesses) == []
        again = [take(second.mountpoint, disk.source, witness.name) for witness in witnesses]
    assert again == witnesses, "the same files get the same handles, inode numbers and contents"


def test_handle_opens_the_same_file_after_changes_behind_and_before_the_mount(
    disk: Filesystem, own_daemon: Daemon
) -> None:
    top = own_daemon.mountpoint / "handles-changed"
    witnesses = _witnesses(own_daemon, disk, top.name)
    many = [witness for witness in witnesses if b"/many/" in witness.name]
    (disk.source / top.name / "elsewhere").mkdir()
    for number in range(0, _FILES, 2):
        (top / "many" / str(number)).rename(top / f"elsewhere/{number}")
    for number in range(1, _FILES, 2):
        (disk.source / top.name / "many" / str(number)).rename(disk.source / top.name / f"elsewhere/{number}")
    assert faults(own_daemon.mountpoint, many) == []
    drop_caches()
    assert faults(own_daemon.mountpoint, many) == []
    moved = {take(own_daemon.mountpoint, disk.source, os.fsencode(path.relative_to(disk.source))).handle
    for path in (disk.source / top.name / "elsewhere").iterdir()}  # fmt: skip
    assert moved == {witness.handle for witness in many}, "a new name is not a new handle"


def test_root_handle_survives_remount(disk: Filesystem, start: StartDaemon) -> None:
    mark(bytes(disk.source))
    with start() as first:
        witness = take(first.mountpoint, disk.source, b"")
    with start() as second:
        assert faults(second.mountpoint, [witness]) == []
