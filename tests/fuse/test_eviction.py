"""The kernel forgets one mount, and only that one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.checks.eviction import evict
from appliance.linux import handles
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.patience import SECONDS
from tests.support.posix.files import make, touch
from tests.support.views import sampled
from tests.support.witness import open_by_handle, opened_root

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)


@contextmanager
def _nobody_serves(running: Daemon) -> Iterator[None]:
    workers = running.full_pool()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def _opens_unserved(running: Daemon, root: int, handle: handles.NativeHandle, patience: float = SECONDS) -> bool:
    """Whether a handle opens in so many seconds while nobody serves: only what the kernel knows by itself does."""
    with _nobody_serves(running):
        child = os.fork()
        if child == 0:
            os.close(open_by_handle(root, handle))
            os._exit(0)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                assert status == 0
                return True
            time.sleep(0.01)
    assert os.waitpid(child, 0)[1] == 0
    return False


def test_one_mount_is_forgotten(
    disk: Filesystem, own_daemon: Daemon, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    for name in ("evicted", "in-use"):
        make(bytes(disk.source / name))
    with daemon(disk.source, work / "neighbour", tmp_path / "log", watch) as neighbour:
        ours, used = sampled(own_daemon, [Path("evicted"), Path("in-use")])
        theirs = sampled(neighbour, [Path("evicted")])[0]
        with opened_root(own_daemon.mountpoint) as root, opened_root(neighbour.mountpoint) as other:
            # After the first close the kernel no longer asks for a FLUSH, which a child's end would wait for.
            touch(bytes(own_daemon.mountpoint / "evicted"), os.O_RDONLY)
            os.stat(neighbour.mountpoint / "evicted")
            held = os.open(own_daemon.mountpoint / "in-use", os.O_RDONLY)
            assert _opens_unserved(own_daemon, root, ours.handle)
            evict(own_daemon.mountpoint)
            assert _opens_unserved(neighbour, other, theirs.handle)
            assert _opens_unserved(own_daemon, root, used.handle)
            assert not _opens_unserved(own_daemon, root, ours.handle, patience=1)
            os.close(held)
    options = [line.split()[3] for line in Path("/proc/self/mounts").read_text().splitlines()
               if line.split()[1] == str(own_daemon.mountpoint)]  # fmt: skip
    assert {"nosuid", "nodev", "rw"} <= set(options[0].split(","))
