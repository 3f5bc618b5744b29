"""What pyfuse3 does not offer, and what a caller gets instead, knfsd for ALLOCATE, SEEK, COPY and CLONE among them."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from functools import partial

import pytest

from appliance.linux import libc
from tests.support.children import in_child
from tests.support.daemon import Daemon

pytestmark = [pytest.mark.fuse, pytest.mark.kinds("ext4")]

_SYS_FALLOCATE = {"x86_64": 285, "aarch64": 47}[os.uname().machine]
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16
_FICLONE = 0x40049409
_MIB = 1 << 20


def _errno(act: Callable[[], object]) -> int:
    try:
        act()
    except OSError as error:
        return error.errno or -1
    return 0


def test_room_is_neither_reserved_nor_given_back(shared_daemon: Daemon) -> None:
    def allocate() -> list[int]:
        with open(shared_daemon.mountpoint / "allocated", "w+b") as file:
            file.write(b"data")
            file.flush()
            modes = (0, _KEEP_SIZE, _PUNCH_HOLE | _KEEP_SIZE, _ZERO_RANGE)
            return [_errno(partial(libc.syscall, _SYS_FALLOCATE, file.fileno(), mode, 0, _MIB)) for mode in modes]

    assert in_child(allocate) == [errno.EOPNOTSUPP] * 4
    assert (shared_daemon.source / "allocated").read_bytes() == b"data"


def test_a_file_has_no_holes_but_at_its_end(shared_daemon: Daemon) -> None:
    with open(shared_daemon.source / "sparse", "wb") as file:
        file.truncate(4 * _MIB)

    def seek() -> tuple[int, int, int]:
        with open(shared_daemon.mountpoint / "sparse", "rb") as file:
            beyond = _errno(lambda: os.lseek(file.fileno(), 5 * _MIB, os.SEEK_DATA))
            return os.lseek(file.fileno(), 0, os.SEEK_HOLE), os.lseek(file.fileno(), 17, os.SEEK_DATA), beyond

    assert in_child(seek) == (4 * _MIB, 17, errno.ENXIO)


def test_a_copy_is_made_without_a_clone(shared_daemon: Daemon) -> None:
    content = os.urandom(3 * _MIB + 5)
    (shared_daemon.source / "original").write_bytes(content)

    def copy() -> tuple[int, int]:
        with (
            open(shared_daemon.mountpoint / "original", "rb") as old,
            open(shared_daemon.mountpoint / "copy", "w+b") as new,
        ):
            cloned = _errno(lambda: fcntl.ioctl(new.fileno(), _FICLONE, old.fileno()))
            size = 0
            while size < len(content) and (step := os.copy_file_range(old.fileno(), new.fileno(), len(content) - size)):
                size += step
            return cloned, size

    cloned, size = in_child(copy)
    assert cloned in (errno.EOPNOTSUPP, errno.ENOTTY)
    assert size == len(content)
    assert (shared_daemon.source / "copy").read_bytes() == content
