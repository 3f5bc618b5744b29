"""A file that a process holds open goes on working whoever of the daemon dies, and so does work in progress."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import mmap
import os
import random
import select
import time
from collections.abc import Callable

import pytest

from tests.support.children import Child, acting_as, in_child
from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem
from tests.support.posix.files import content, opened

pytestmark = pytest.mark.fuse


def _workers(daemon: Daemon) -> None:
    daemon.kill_workers()


def _pool(daemon: Daemon) -> None:
    daemon.kill_pool()


VICTIMS = pytest.mark.parametrize("kill", [_workers, _pool])


@VICTIMS
def test_descriptors_go_on_working(kill: Callable[[Daemon], None], own_daemon: Daemon) -> None:
    path = bytes(own_daemon.mountpoint / "held")
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
        os.write(file, b"before ")
        kill(own_daemon)
        os.write(file, b"between ")
        kill(own_daemon)
        os.fsync(file)
        os.write(file, b"after")
        assert os.pread(file, 100, 0) == b"before between after"
        os.ftruncate(file, 6)
        assert os.fstat(file).st_size == 6
    assert content(path) == b"before"


@VICTIMS
def test_directory_that_is_somebodys_current_one(kill: Callable[[Daemon], None], own_daemon: Daemon) -> None:
    def work_there() -> list[str]:
        os.makedirs(own_daemon.mountpoint / f"current-{kill.__name__}" / "deeper")
        os.chdir(own_daemon.mountpoint / f"current-{kill.__name__}" / "deeper")
        kill(own_daemon)
        os.mkdir("child")
        assert os.getcwd().endswith("/deeper")
        return os.listdir("..")

    assert in_child(work_there) == ["deeper"]


@VICTIMS
def test_locks_are_kept(kill: Callable[[Daemon], None], own_daemon: Daemon) -> None:
    path = bytes(own_daemon.mountpoint / "locked")

    def try_to_lock() -> bool:
        with opened(path, os.O_RDWR) as theirs:
            try:
                fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with opened(path, os.O_RDWR | os.O_CREAT) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kill(own_daemon)
        assert not in_child(try_to_lock)
    assert in_child(try_to_lock)


@VICTIMS
def test_memory_maps_go_on_working(kill: Callable[[Daemon], None], own_daemon: Daemon) -> None:
    path = bytes(own_daemon.mountpoint / "mapped")
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
        os.ftruncate(file, 1 << 20)
        with mmap.mmap(file, 0) as mapped:
            mapped[0:5] = b"first"
            kill(own_daemon)
            mapped[500_000:500_006] = b"second"
            mapped.flush()
    data = content(path)
    assert (data[:5], data[500_000:500_006], len(data)) == (b"first", b"second", 1 << 20)


@VICTIMS
def test_large_write_in_progress(kill: Callable[[Daemon], None], own_daemon: Daemon, disk: Filesystem) -> None:
    data = random.Random(9).randbytes(1 << 20)
    blocks = 40 if kill is _pool and disk.kind != "ext4" else 150  # it takes long
    name = f"large-{kill.__name__}"

    def block(number: int) -> bytes:
        return data[number:] + data[:number]

    enough, stop = os.pipe()

    def write() -> str:
        """Write each block in turn, over and over, until it was disturbed enough."""
        last: dict[int, int] = {}
        with open(own_daemon.mountpoint / name, "wb", buffering=0) as file:
            for number in itertools.count():
                if number >= blocks and select.select([enough], [], [], 0)[0]:
                    break
                last[number % blocks] = number
                assert os.pwrite(file.fileno(), block(number), number % blocks * len(data)) == len(data)
            os.fsync(file.fileno())
        return hashlib.sha256(b"".join(block(last[place]) for place in range(blocks))).hexdigest()

    with Child(write) as child:
        for _ in range(12):
            kill(own_daemon)
            time.sleep(0.1)  # let it get on, too
        os.write(stop, b".")
        expected = child.result()
    os.close(enough)
    os.close(stop)
    for top in (own_daemon.mountpoint, disk.source):
        with open(top / name, "rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == expected


def test_new_workers_die_while_they_read_their_first_large_writes(own_daemon: Daemon) -> None:
    """The kernel must be able to copy the request, or it answers with EIO in the place of the dead worker."""
    dice = random.Random(10)
    block = dice.randbytes(1 << 20)
    held, stop = os.pipe()

    def write() -> int:
        with open(own_daemon.mountpoint / "first-writes", "wb", buffering=0) as file:
            while not select.select([held], [], [], 0)[0]:
                assert os.pwrite(file.fileno(), block, 0) == len(block)
        return os.path.getsize(own_daemon.mountpoint / "first-writes")

    with Child(write) as child:
        for _ in range(80):
            if child.ended:
                break
            own_daemon.full_pool()
            time.sleep(dice.uniform(0, 0.03))
            own_daemon.kill_workers()
        os.write(stop, b".")
        assert child.result() == len(block)
    os.close(held)
    os.close(stop)


def test_pool_dies_after_work_for_other_users(own_daemon: Daemon) -> None:
    """Another user's identity, once taken on, makes the kernel forget that a worker is to die with its pool."""
    top = own_daemon.mountpoint / "of-others"
    top.mkdir()
    top.chmod(0o777)
    with acting_as(1001, 1002):
        for number in range(50):  # both workers get their turns
            (top / f"{number}").touch()
    own_daemon.kill_pool()  # fails when a worker outlives it
    assert len(os.listdir(top)) == 50
    assert (top / "0").stat().st_uid == 1001
    assert len(own_daemon.full_pool()) == own_daemon.size
