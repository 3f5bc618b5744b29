"""Another number of workers for a live mount: nothing that is open is lost."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.fuse.connection import Connection
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import CachingStatus, PoolReady, PoolStatus
from appliance.fuse.pool_process import PoolProcess
from appliance.fuse.source import Source
from tests.support.children import Child
from tests.support.filesystems import KINDS, Filesystem
from tests.support.patience import SECONDS, until

pytestmark = pytest.mark.fuse

FILESYSTEMS = KINDS


@pytest.fixture
def pool(disk: Filesystem, work: Path) -> Iterator[PoolProcess]:
    """A pool process of two workers, as a supervisor has it."""
    mountpoint = work / f"{disk.kind}.resize"
    mountpoint.mkdir(exist_ok=True)
    options = PoolOptions(workers=2, table=str(work / f"{disk.kind}.resize.db"))
    source = Source.open(disk.source)
    connection = Connection.mount(mountpoint, "resize")
    made = PoolProcess.create("resize", source, connection, options)
    try:
        made.start()
        _await(made, PoolReady)
        yield made
    finally:
        connection.unmount(lazy=True)
        made.close()
        connection.close()
        source.close()


def test_unlinked_open_files_live_on_with_more_workers(pool: PoolProcess, disk: Filesystem, work: Path) -> None:
    path = work / f"{disk.kind}.resize" / "unlinked"
    held, release = os.pipe()
    told, tell = os.pipe()

    def hold() -> int:
        """Keep an unlinked file open, and write to it when told."""
        with path.open("w+b", buffering=0) as file:
            file.write(b"first")
            path.unlink()
            os.write(release, b".")
            os.read(told, 1)
            return os.pwrite(file.fileno(), b"second", 0)

    # Not here: this process starts the pool process, and closing a file on the mount on the way would wait for it.
    with Child(hold) as client:
        os.read(held, 1)
        until(lambda: _status(pool).kept_inodes == 1, "it is not kept")
        pool.resize(PoolOptions(workers=5, table=str(work / f"{disk.kind}.resize.db")))
        pool.start()
        assert _await(pool, PoolReady) == PoolReady(5)
        os.write(tell, b".")
        assert len(_status(pool).workers) == 5
        until(lambda: _status(pool).kept_inodes == 1, "it is not kept any more")
        assert client.result() == 6
    for descriptor in (held, release, told, tell):
        os.close(descriptor)


def test_whether_local_changes_are_noticed_is_told(pool: PoolProcess, disk: Filesystem, work: Path) -> None:
    assert _caching(pool).reason.startswith("not wanted")
    pool.resize(PoolOptions(workers=1, watch=True, table=str(work / f"{disk.kind}.resize.db")))
    pool.start()
    deadline = time.monotonic() + SECONDS
    while _caching(pool) != CachingStatus(watched=True):
        assert time.monotonic() < deadline, _caching(pool)
        time.sleep(0.05)


def _caching(pool: PoolProcess) -> CachingStatus:
    return _status(pool).caching


def _status(pool: PoolProcess) -> PoolStatus:
    pool.request_status()
    status = _await(pool, PoolStatus)
    assert isinstance(status, PoolStatus)
    return status


def _await(pool: PoolProcess, kind: type) -> object:
    """Return the next event of this kind."""
    deadline = time.monotonic() + SECONDS
    while select.select([pool], [], [], max(0.0, deadline - time.monotonic()))[0]:
        for event in pool.receive() or []:
            if isinstance(event, kind):
                return event
    pytest.fail(f"no {kind.__name__} came")
