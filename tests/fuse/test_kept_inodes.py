"""What is unlinked and open is kept by one process for all, however many files and whoever is started later."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.fuse, pytest.mark.kinds("ext4")]

_PATIENCE_SECONDS = 80
_MANY = 400  # more than a socket takes messages with a descriptor each


def test_workers_that_come_later_do_not_keep_it_for_themselves(own_daemon: Daemon) -> None:
    path = own_daemon.mountpoint / "unlinked"
    with path.open("wb") as file:
        path.unlink()
        _until(lambda: _kept(own_daemon.pool), "the pool process does not keep it")
        own_daemon.kill_workers()
        workers = own_daemon.full_pool()
        _until(lambda: not any(_kept(pid) for pid in workers), "workers keep it")
        assert _kept(own_daemon.pool)
        assert file.write(b"still here") == 10


def test_however_many_there_are_another_pool_process_takes_them_over(own_daemon: Daemon) -> None:
    with ExitStack() as stack:
        held = []
        for number in range(_MANY):
            path = own_daemon.mountpoint / f"unlinked-{number}"
            file = stack.enter_context(path.open("w+b", buffering=0))
            file.write(b"%d" % number)
            path.unlink()
            held.append(file)
        _until(lambda: _kept(own_daemon.pool) >= _MANY, "the pool process does not keep them")
        own_daemon.kill_pool()
        for number, file in enumerate(held):
            assert os.pread(file.fileno(), 10, 0) == b"%d" % number
        _until(lambda: _kept(own_daemon.pool) >= _MANY, "another one does not keep them")
    _until(lambda: not _kept(own_daemon.pool), "they are kept although nobody has them open")


def _kept(pid: int) -> int:
    """Return how many descriptors of unlinked files a process has."""
    found = 0
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += "/unlinked" in (target := os.readlink(f"/proc/{pid}/fd/{entry}")) and target.endswith(" (deleted)")
    return found


def _until(condition: Callable[[], object], complaint: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
