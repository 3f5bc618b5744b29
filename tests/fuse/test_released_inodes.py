"""What nobody has open any more: the daemon, which keeps it as well, hears of each of many at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.daemon import Daemon
from tests.support.processes import descriptor_count

pytestmark = [pytest.mark.fuse, pytest.mark.kinds("ext4")]

_PATIENCE_SECONDS = 80
_MANY = 600  # more than the messages that fit into a socket, fewer than the descriptors that a process may have


def test_the_daemon_lets_go_of_all_of_them(own_daemon: Daemon) -> None:
    before = descriptor_count(own_daemon.process.pid)
    with ExitStack() as stack:
        files = []
        for number in range(_MANY):
            path = own_daemon.mountpoint / f"{number}"
            files.append(stack.enter_context(path.open("w+b", buffering=0)))
            files[-1].write(b"%d" % number)
            path.unlink()
        _until(lambda: descriptor_count(own_daemon.process.pid) >= before + _MANY, "it was not given all of them")
        own_daemon.kill_pool()
        own_daemon.kill_workers()
        assert [int(os.pread(file.fileno(), 10, 0)) for file in files] == list(range(_MANY))
    _until(lambda: descriptor_count(own_daemon.process.pid) <= before, "it keeps what nobody has open")


def _until(happened: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
