"""The death of whoever started a pool process, and nobody comes after him: everything ends in good order."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.fuse.conftest import StartDaemon
from tests.support.daemon import Daemon
from tests.support.processes import alive, descendants, kill
from tests.support.scratch import unmount_below

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)
_PATIENCE_SECONDS = 60


def test_a_pool_process_that_has_told_what_nobody_has_read_ends_all_the_same(start: StartDaemon) -> None:
    with start() as running:
        os.kill(running.process.pid, signal.SIGSTOP)
        _have_it_tell_something(running)
        family = descendants(running.process.pid)
        kill(running.process.pid)
        running.process.wait()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while left := [pid for pid in family if alive(pid)]:
            assert time.monotonic() < deadline, f"{left} still run"
            time.sleep(0.05)
        unmount_below(running.mountpoint)
        # A traceback in the daemon's log is found when it is left.


def _have_it_tell_something(running: Daemon) -> None:
    """Have a worker die: when another is there, that has been told."""
    before = running.full_pool()
    kill(before[0])
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while before[0] in (now := running.workers) or len(now) < running.size:
        assert time.monotonic() < deadline, "there is no other worker"
        time.sleep(0.05)
