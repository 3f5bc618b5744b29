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
from appliance.fuse.pool_events import PoolReady, PoolStatus
from appliance.fuse.pool_process import PoolProcess
from appliance.fuse.source import Source
from tests.support.filesystems import Filesystem

pytestmark = pytest.mark.fuse


@pytest.fixture
def pool(disk: Filesystem, work: Path) -> Iterator[PoolProcess]:
    """A pool process of two workers, as a supervisor has it."""
    mountpoint = work / f"{disk.kind}.resize"
    mountpoint.mkdir(exist_ok=True)
    options = PoolOptions(workers=2, table=str(work / f"{disk.kind}.resize.db"))
    source = Source.open(disk.source)
    connection = Connection.mount(mountpoint, "resize")
    made = PoolProcess("resize", source, connection, options)
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
    mountpoint = work / f"{disk.kind}.resize"
    with (mountpoint / "unlinked").open("w+b", buffering=0) as file:
        file.write(b"first")
        (mountpoint / "unlinked").unlink()
        time.sleep(0.3)  # until the keeper has decided
        pool.receive()
        pool.resize(5)
        pool.start()
        assert _await(pool, PoolReady) == PoolReady(5)
        assert os.pwrite(file.fileno(), b"second", 0) == 6
        pool.request_status()
        status = _await(pool, PoolStatus)
        assert isinstance(status, PoolStatus)
        assert len(status.workers) == 5
        assert status.kept_inodes == 1


def _await(pool: PoolProcess, kind: type) -> object:
    """Return the next event of this kind."""
    deadline = time.monotonic() + 20
    while select.select([pool], [], [], max(0.0, deadline - time.monotonic()))[0]:
        for event in pool.receive() or []:
            if isinstance(event, kind):
                return event
    pytest.fail(f"no {kind.__name__} came")
