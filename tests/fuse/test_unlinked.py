"""Unlinked files: there for those who have them open, whatever dies meanwhile, and gone with the last of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.patience import until

pytestmark = pytest.mark.fuse

_SIZE = 64 << 20


def _remove(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"other")
    other.rename(path)


@pytest.mark.parametrize("remove", [_remove, _replace])
def test_an_open_file_outlives_its_name_and_the_workers(own_daemon: Daemon, remove: Callable[[Path], None]) -> None:
    path = own_daemon.mountpoint / "unlinked"
    path.write_bytes(b"first")
    with path.open("r+b", buffering=0) as file:
        remove(path)
        own_daemon.kill_workers()
        assert os.pread(file.fileno(), 100, 0) == b"first"
        assert os.pwrite(file.fileno(), b"second", 0) == 6
        own_daemon.kill_workers()
        assert os.pread(file.fileno(), 100, 0) == b"second"
        assert os.fstat(file.fileno()).st_size == 6


def test_space_is_free_again_when_the_last_who_had_it_open_is_gone(own_daemon: Daemon, disk: Filesystem) -> None:
    before = _free_at_rest(disk)
    path = own_daemon.mountpoint / "large"
    with path.open("wb") as file:
        file.write(bytes(_SIZE))
        os.fsync(file.fileno())
        path.unlink()
        time.sleep(1)  # the keeper has looked several times by now
        assert before - _free_blocks(disk) > _SIZE // 2
    until(lambda: before - _free_blocks(disk) < _SIZE // 2, "the space was not freed")


def test_idle_workers_keep_nothing_alive(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path) -> None:
    """Each worker has the file open in its cache, one of them unlinks it, and then most have nothing more to do."""
    options = ("--pool-module", "tests.support.ageless_pool")  # or they would let go in a few seconds anyway
    with daemon(disk.source, work / f"{disk.kind}.crowd", tmp_path / "log", watch, *options, workers=8) as crowd:
        before = _free_at_rest(disk)
        path = crowd.mountpoint / "large"
        path.write_bytes(bytes(_SIZE))
        for _ in range(400):  # so that each worker has served it
            os.utime(path)
        path.unlink()
        until(lambda: before - _free_blocks(disk) < _SIZE // 2, "the space was not freed")


@pytest.mark.kinds("ext4", "tmpfs")  # it is the workers that let go, and it takes long
def test_a_file_deleted_behind_the_mount_is_let_go(own_daemon: Daemon, disk: Filesystem) -> None:
    before = _free_at_rest(disk)
    (own_daemon.mountpoint / "large").write_bytes(bytes(_SIZE))
    (disk.source / "large").unlink()
    until(lambda: before - _free_blocks(disk) < _SIZE // 2, "the space was not freed")


def _free_blocks(disk: Filesystem) -> int:
    """Return how many bytes are free, asked of the filesystem itself."""
    os.sync()
    status = os.statvfs(disk.root)
    return status.f_bfree * status.f_frsize


def _free_at_rest(disk: Filesystem) -> int:
    """Return it when it has not changed for a second: what an earlier test deleted may still be on its way out."""
    since, free = time.monotonic(), _free_blocks(disk)
    while time.monotonic() < since + 1:
        time.sleep(0.1)
        if (now := _free_blocks(disk)) != free:
            since, free = time.monotonic(), now
    return free
