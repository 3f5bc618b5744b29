"""The owner of a share dies: its successor takes over from what was kept, and nobody who uses the mount notices."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from appliance.errors import MountError
from appliance.fuse.connection import Connection
from appliance.fuse.fd_store import Held
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import PoolReady, PoolStatus
from appliance.fuse.pool_process import PoolProcess
from appliance.fuse.source import Source
from appliance.state.records import Fsid, Identity
from appliance.supervisor.fuse_path import FuseDataPath
from tests.support.children import Child
from tests.support.filesystems import ONE_PER_CODEC, Filesystem
from tests.support.patience import SECONDS, until

pytestmark = pytest.mark.fuse

FILESYSTEMS = ONE_PER_CODEC  # who takes over knows inodes by their node ids alone

_NAME = "adopted"


class Memory:
    """A store in this process: what the first process does across a fork."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}

    def keep(self, name: str, text: str, descriptors: Sequence[int], spare: int = 0) -> None:
        self.drop(name)
        self.held[name] = Held(text, tuple(os.dup(descriptor) for descriptor in descriptors))
        assert spare >= 0

    def drop(self, name: str) -> None:
        for descriptor in self.held.pop(name, Held("", ())).descriptors:
            os.close(descriptor)

    def copies(self) -> dict[str, Held]:
        return {
            name: Held(held.text, tuple(os.dup(descriptor) for descriptor in held.descriptors))
            for name, held in self.held.items()
        }


class Owner:
    """Whoever owns the share: dies without a word, and is followed by another."""

    def __init__(self, disk: Filesystem, work: Path) -> None:
        self.mountpoint = work / f"{disk.kind}.{_NAME}"
        self.mountpoint.mkdir(exist_ok=True)
        self._options = PoolOptions(workers=2, table=str(work / f"{disk.kind}.{_NAME}.db"))
        self._store = Memory()
        self._source = Source.open(disk.source)
        self._connection = Connection.mount(self.mountpoint, _NAME)
        self.pool = PoolProcess.create(
            _NAME, self._source, self._connection, self._options, bytes(32), self._store
        )
        self.pool.start()
        assert self.status(PoolReady)

    def die(self) -> None:
        """Lose every descriptor that the store has no copy of, in no order, and tell nobody."""
        for held in vars(self.pool).values():
            if callable(getattr(held, "detach", None)):
                os.close(held.detach())
        for descriptor in vars(self.pool)["_kept"].values():
            os.close(descriptor)

    def succeed(self) -> None:
        """Come back as somebody else."""
        self.pool = PoolProcess.adopt(
            _NAME, self._source, self._connection, self._options, self._store.copies(), self._store
        )

    def status(self, kind: type) -> object:
        deadline = time.monotonic() + SECONDS
        while select.select([self.pool], [], [], max(0.0, deadline - time.monotonic()))[0]:
            for event in self.pool.receive() or []:
                if isinstance(event, kind):
                    return event
        pytest.fail(f"no {kind.__name__} came")

    def asked(self) -> PoolStatus:
        self.pool.request_status()
        status = self.status(PoolStatus)
        assert isinstance(status, PoolStatus)
        return status

    def close(self) -> None:
        self._connection.unmount(lazy=True)
        self.pool.close()
        self._connection.close()
        self._source.close()
        assert not self._store.held, "something is held for ever"


@pytest.fixture
def owner(disk: Filesystem, work: Path) -> Iterator[Owner]:
    made = Owner(disk, work)
    try:
        yield made
    finally:
        made.close()


def test_a_successor_goes_on_with_the_same_processes_and_what_they_keep(owner: Owner) -> None:
    held, release = os.pipe()
    told, tell = os.pipe()
    path = owner.mountpoint / "unlinked"

    def hold() -> bytes:
        """Keep an unlinked file open through it all; write to it once nobody owns the share, and read at the end."""
        with path.open("w+b", buffering=0) as file:
            file.write(b"first")
            path.unlink()
            os.write(release, b".")
            os.read(told, 1)
            os.pwrite(file.fileno(), b"second", 0)
            os.write(release, b".")
            os.read(told, 1)
            return os.pread(file.fileno(), 100, 0)

    # Not here: this process has the pool's descriptors, and closing a file on the mount on the way would wait for it.
    with Child(hold) as client:
        os.read(held, 1)
        until(lambda: owner.asked().kept_inodes == 1, "it is not kept")
        pid = owner.pool.pid
        assert pid
        owner.die()
        os.write(tell, b".")
        os.read(held, 1)
        owner.succeed()
        assert owner.pool.pid == pid
        until(lambda: owner.asked().kept_inodes == 1, "it is not kept any more")
        status = owner.asked()
        assert (len(status.workers), status.deaths) == (2, 0)
        # What the process kept is now kept for its own successor as well.
        os.kill(pid, signal.SIGKILL)
        while owner.pool.receive() is not None:
            select.select([owner.pool], [], [], 5)
        owner.pool.start()
        assert owner.status(PoolReady)
        os.write(tell, b".")
        assert client.result() == b"second"
    for descriptor in (held, release, told, tell):
        os.close(descriptor)


def test_a_successor_starts_the_pool_process_that_had_died_before(owner: Owner) -> None:
    path = owner.mountpoint / "written"
    assert owner.pool.pid
    os.kill(owner.pool.pid, signal.SIGKILL)
    while owner.pool.receive() is not None:
        select.select([owner.pool], [], [], 5)
    owner.die()
    owner.succeed()
    assert owner.pool.pid is None
    owner.pool.start()
    assert owner.status(PoolReady)
    with Child(lambda: path.write_bytes(b"served")) as client:
        assert client.result() == 6


def test_a_mount_that_is_in_use_is_still_kept_for_a_successor(disk: Filesystem, work: Path) -> None:
    store = Memory()
    mountpoint = work / f"{disk.kind}.in-use"
    source = Source.open(disk.source)
    source.close()
    identity = Identity(Fsid(uuid4()), source.codec, bytes(32))
    mounted = FuseDataPath(store, {}).mount("in-use", disk.source, identity, mountpoint)
    pool = mounted.pool(PoolOptions(workers=2, table=str(work / f"{disk.kind}.in-use.db")), bytes(32))
    pool.start()
    entered, enter = os.pipe()

    def stay() -> None:
        """Have a working directory on the mount until killed."""
        os.chdir(mountpoint)
        os.write(enter, b".")
        time.sleep(100)

    try:
        mounted.keep("described")
        with Child(stay):
            os.read(entered, 1)
            with pytest.raises(MountError):
                mounted.unmount(lazy=False)
            assert FuseDataPath(store, store.held).kept() == {"in-use": "described"}
        mounted.unmount(lazy=False)
        assert FuseDataPath(store, store.held).kept() == {}
    finally:
        mounted.unmount(lazy=True)
        pool.close()
        mounted.close()
        os.close(entered)
        os.close(enter)
