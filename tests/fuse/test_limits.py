"""The largest of things: open files, names, paths, offsets. Each works as on the source, at no cost to the daemon."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.children import Child, in_child
from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem
from tests.support.processes import descendants, descriptor_count, resident_kilobytes

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4", "xfs")

_OPEN = 10_000
_CLIENTS = 200
_MOST_DESCRIPTORS = 3 * 1024 + 100  # a path, a reading and a writing one for each node of the cache, and some own
_MOST_KILOBYTES = 80_000  # of any process of the daemon
_FAR = 8 << 40  # bytes; ext4 ends at 16 TiB
_PATH_MAX = 4096  # bytes, with the 0 at the end


def _sizes(running: Daemon) -> tuple[int, int]:
    """Return the most descriptors and the most KiB that a process of the daemon has."""
    family = [running.process.pid, *descendants(running.process.pid)]
    return max(map(descriptor_count, family)), max(map(resident_kilobytes, family))


def test_ten_thousand_open_files(own_daemon: Daemon) -> None:
    def hold() -> tuple[int, int]:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(_OPEN + 100, most), max(_OPEN + 100, most)))
        top = own_daemon.mountpoint / "many"
        top.mkdir()
        files = [os.open(top / str(number), os.O_RDWR | os.O_CREAT) for number in range(_OPEN)]
        for number, file in enumerate(files):
            assert os.pwrite(file, b"%d" % number, 0)
        sizes = _sizes(own_daemon)
        for number, file in enumerate(files):
            assert os.pread(file, 10, 0) == b"%d" % number
        return sizes

    descriptors, kilobytes = in_child(hold)
    assert descriptors < _MOST_DESCRIPTORS
    assert kilobytes < _MOST_KILOBYTES


def test_two_hundred_client_processes_at_once(own_daemon: Daemon) -> None:
    """Far more than there are workers: each waits for its turn, and each sees what it did."""
    top = own_daemon.mountpoint / "clients"
    in_child(top.mkdir)

    def work(number: int) -> None:
        own = top / str(number)
        own.mkdir()
        for turn in range(5):
            (own / "new").write_bytes(b"%d of %d" % (turn, number))
            (own / "new").rename(own / f"file-{turn}")
        for turn in range(5):
            assert (own / f"file-{turn}").read_bytes() == b"%d of %d" % (turn, number)
        with (top / "log").open("ab", buffering=0) as log:
            log.write(b"%03d\n" % number)

    with ExitStack() as stack:
        clients = [stack.enter_context(Child(partial(work, number))) for number in range(_CLIENTS)]
        for client in clients:
            client.result()
    done = in_child((top / "log").read_bytes).split()
    assert sorted(done) == [b"%03d" % number for number in range(_CLIENTS)]
    descriptors, kilobytes = _sizes(own_daemon)
    assert descriptors < _MOST_DESCRIPTORS
    assert kilobytes < _MOST_KILOBYTES


def test_names_of_255_bytes_and_no_more(own_daemon: Daemon) -> None:
    top = bytes(own_daemon.mountpoint)
    longest, too_long = b"n" * 255, b"n" * 256
    os.mkdir(top + b"/" + longest)
    assert longest in os.listdir(top)
    os.rename(top + b"/" + longest, top + b"/" + b"m" * 255)
    os.setxattr(top + b"/" + b"m" * 255, "user." + "x" * 250, b"value")
    os.rmdir(top + b"/" + b"m" * 255)
    with pytest.raises(OSError, match="name too long") as caught:
        os.mkdir(top + b"/" + too_long)
    assert caught.value.errno == errno.ENAMETOOLONG


def test_paths_of_path_max_and_beyond_by_steps(own_daemon: Daemon, disk: Filesystem) -> None:
    in_child(partial(_go_deep, own_daemon.mountpoint / "deep", own_daemon.mountpoint))
    deepest = in_child(partial(_depth, disk.source / "deep"))
    assert deepest == 30


def _go_deep(top: Path, mount: Path) -> None:
    """Make directories until a path is longer than can be named, then name the longest that can."""
    top.mkdir()
    os.chdir(top)
    for _ in range(30):  # 30 * 201 bytes
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.close(os.open("at the end", os.O_CREAT | os.O_WRONLY))
    os.chdir(mount)
    whole = "deep" + "/" + "/".join(["d" * 200] * 20)
    assert os.stat(whole[: _PATH_MAX - 1].rpartition("/")[0])
    padded = "deep" + "/" * (_PATH_MAX - 1 - len("deep") - 200) + "d" * 200
    assert len(padded) == _PATH_MAX - 1
    assert os.stat(padded)
    with pytest.raises(OSError, match="name too long"):
        os.stat("/" + padded)


def _depth(top: Path) -> int:
    """Return how deep the directories go, on the source."""
    os.chdir(top)
    depth = 0
    while os.path.isdir("d" * 200):
        os.chdir("d" * 200)
        depth += 1
    assert os.listdir() == ["at the end"]
    return depth


def test_a_sparse_file_of_eight_tebibytes(own_daemon: Daemon, disk: Filesystem) -> None:
    path = own_daemon.mountpoint / "far"
    with path.open("w+b", buffering=0) as file:
        file.truncate(_FAR)
        assert os.pwrite(file.fileno(), b"end", _FAR - 3) == 3
        assert os.pwrite(file.fileno(), b"middle", (_FAR >> 1) + 1) == 6
        assert os.pread(file.fileno(), 10, _FAR - 3) == b"end"
        assert os.pread(file.fileno(), 6, (_FAR >> 1) + 1) == b"middle"
        assert os.pread(file.fileno(), 4, (_FAR >> 1) - 3) == bytes(4)
    status = (disk.source / "far").stat()
    assert status.st_size == _FAR == path.stat().st_size
    assert status.st_blocks * 512 < 1 << 20
    path.unlink()
