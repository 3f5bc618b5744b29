"""What a local process moves out of the source: a directory's handle is stale from then on, a file's goes on.

A handle names its inode wherever that is, so a file that left is served to who has its handle. From a directory more
would be reached than ever was in the share, so it is not served for as long as it is outside.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.test_stale import errno_on, new_witness
from tests.support.daemon import Daemon
from tests.support.filesystems import KINDS, Filesystem
from tests.support.posix.files import content, make, opened
from tests.support.witness import Witness, drop_caches, faults, mark, open_by_handle, opened_root, outcome, take

pytestmark = pytest.mark.fuse

FILESYSTEMS = frozenset(KINDS) - {"btrfs-subvolume"}  # nothing can leave the root of a subvolume by rename(2)


@pytest.fixture
def outside(disk: Filesystem) -> Iterator[Path]:
    """A directory beside the source, on the same filesystem."""
    place = disk.root / "data" / "outside"
    place.mkdir()
    yield place
    shutil.rmtree(place)


@pytest.fixture
def directory(disk: Filesystem, shared_daemon: Daemon, request: pytest.FixtureRequest) -> Witness:
    """A directory with a directory and a file in it, all looked up by way of the mount."""
    top = shared_daemon.mountpoint / f"leaving-{request.node.originalname}"
    (top / "inner").mkdir(parents=True)
    make(bytes(top / "file"), b"original")
    for path in (top, top / "inner", top / "file"):
        mark(bytes(disk.source / path.relative_to(shared_daemon.mountpoint)))
    return take(shared_daemon.mountpoint, disk.source, bytes(Path(top.name)))


ACTS: dict[str, Callable[[int], object]] = {
    "list": os.listdir,
    "look up what was there": lambda at: os.stat("inner", dir_fd=at),
    "look up what has come since": lambda at: os.stat("secret", dir_fd=at),
    "look up ..": lambda at: os.stat("..", dir_fd=at),
    "make a file": lambda at: os.close(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=at)),
    "make a directory": lambda at: os.mkdir("new", dir_fd=at),
    "make a symbolic link": lambda at: os.symlink("secret", "new", dir_fd=at),
    "unlink": lambda at: os.unlink("secret", dir_fd=at),
    "rename": lambda at: os.rename("secret", "renamed", src_dir_fd=at, dst_dir_fd=at),
    "link": lambda at: os.link("secret", "linked", src_dir_fd=at, dst_dir_fd=at),
    "chmod": lambda at: os.fchmod(at, 0o700),
    "set an attribute": lambda at: os.setxattr(at, "user.new", b"1"),
    "get an attribute": lambda at: os.getxattr(at, "user.birth"),
}


def test_a_directory_that_left_is_stale_and_shows_nothing(
    outside: Path, directory: Witness, disk: Filesystem, shared_daemon: Daemon
) -> None:
    inner = take(shared_daemon.mountpoint, disk.source, directory.name + b"/inner")
    place, moved = disk.source / os.fsdecode(directory.name), outside / "moved"
    with opened_root(shared_daemon.mountpoint) as root:
        held = open_by_handle(root, directory.handle, os.O_RDONLY | os.O_DIRECTORY)
        try:
            place.rename(moved)
            make(bytes(moved / "secret"), b"never in the share")
            before = sorted(os.listdir(moved))
            _await_no_cached_name(shared_daemon.mountpoint / place.name)
            answers = {label: outcome(act, held) for label, act in ACTS.items()}
            assert answers == dict.fromkeys(ACTS, "ESTALE") | {"look up ..": answers["look up .."]}
            assert answers["look up .."] in ("ESTALE", "fine"), "the kernel may know the old parent, which is inside"
            assert sorted(os.listdir(moved)) == before
        finally:
            os.close(held)
    drop_caches()
    assert [errno_on(shared_daemon, each.handle) for each in (directory, inner)] == ["ESTALE", "ESTALE"]
    os.unlink(moved / "secret")
    moved.rename(place)
    drop_caches()
    assert faults(shared_daemon.mountpoint, [directory, inner]) == [], "it is back, and so are the same handles"


def test_a_file_in_a_directory_that_left_goes_on(
    outside: Path, directory: Witness, disk: Filesystem, shared_daemon: Daemon
) -> None:
    file = take(shared_daemon.mountpoint, disk.source, directory.name + b"/file")
    place, moved = disk.source / os.fsdecode(directory.name), outside / "moved"
    place.rename(moved)
    try:
        drop_caches()
        assert faults(shared_daemon.mountpoint, [file]) == []
        with opened_root(shared_daemon.mountpoint) as root:
            descriptor = open_by_handle(root, file.handle, os.O_RDWR)
            os.pwrite(descriptor, b"REWRITTEN", 0)
            os.fsync(descriptor)
            os.close(descriptor)
        assert content(bytes(moved / "file")) == b"REWRITTEN"
    finally:
        moved.rename(place)


def test_a_file_that_left_goes_on(outside: Path, disk: Filesystem, shared_daemon: Daemon) -> None:
    witness = new_witness(shared_daemon, disk, "leaving-file")
    (disk.source / "leaving-file").rename(outside / "file")
    drop_caches()
    assert faults(shared_daemon.mountpoint, [witness]) == []
    assert not (shared_daemon.mountpoint / "leaving-file").exists()
    os.unlink(outside / "file")


def _await_no_cached_name(path: Path) -> None:
    """Until the kernel has looked the name up again, which it does a second after the last time."""
    while path.exists():
        time.sleep(0.05)
    with opened(bytes(path.parent), os.O_RDONLY) as parent:
        assert path.name not in os.listdir(parent)
