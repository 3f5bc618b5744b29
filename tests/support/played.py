"""A data path that only pretends: for tests of what the supervisor makes of mounts, pools and their failures."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from appliance.errors import MountError, SourceError
from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.meter import BUCKETS, OperationTotals, Totals
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import CachingStatus, DataPathStatus, PoolEvent, PoolReady, PoolStatus
from appliance.fuse.scoreboard import WorkerStatus
from appliance.fuse.source_id import Backing, SourceId, confirm
from appliance.state.records import Identity
from appliance.supervisor.datapath import Mounted, Pool


class FakePool:
    """A pool process that is a socket pair and a list of what it has to tell."""

    pid = 1

    def __init__(self, options: PoolOptions, *, ready: bool = True) -> None:
        self.options = options
        self.starts = 0
        self.closed = False
        self._ready = ready
        self._events: list[PoolEvent] = []
        self.data_path = DataPathStatus(passthrough=False, reason="played")
        self._dead = False
        self._ours, self._theirs = socket.socketpair()

    def start(self) -> None:
        self.starts += 1
        self._ours.close()
        self._theirs.close()
        self._ours, self._theirs = socket.socketpair()
        self._dead = False
        if self._ready:
            self.tell(PoolReady(self.options.workers))

    def tell(self, *events: PoolEvent) -> None:
        self._events += events
        self._theirs.send(b"x")

    def die(self) -> None:
        self._dead = True
        self._theirs.send(b"x")

    def fileno(self) -> int:
        return self._ours.fileno()

    def receive(self) -> list[PoolEvent] | None:
        events, self._events = self._events, []
        if self._dead:
            return events or None  # the end stays readable, as on a socket whose other side is closed
        self._ours.recv(4096)
        return events

    def totals(self) -> Totals:
        return Totals((OperationTotals(0, 1, 0.5, (3, *(0,) * (BUCKETS - 1))),), 5, 6)

    def request_status(self) -> None:
        worker = WorkerStatus(0, 7, True, False, 0.0, 5, 1, 3, 2, 4)
        caching = CachingStatus(watched=self.options.watch, reason="played")
        self.tell(PoolStatus([worker], 0, 0, 0, self.data_path, caching))

    def resize(self, options: PoolOptions) -> None:
        self.options = options

    def close(self) -> None:
        self.closed = True
        self._ours.close()
        self._theirs.close()


class FakeMount:
    """A mount that is an entry in its data path's log."""

    def __init__(self, path: FakePath, name: str, mountpoint: Path) -> None:
        self._path = path
        self._name = name
        self._mountpoint = mountpoint
        self.source = -1

    def pool(self, options: PoolOptions, key: bytes) -> Pool:
        assert len(key) == 32
        self._path.pools.append(FakePool(options, ready=self._path.ready))
        return self._path.pools[-1]

    def adopt_pool(self, options: PoolOptions) -> Pool:
        self._path.pools.append(FakePool(options, ready=self._path.ready))
        return self._path.pools[-1]

    def keep(self, description: str) -> None:
        self._path.descriptions[self._name] = description

    def forget(self) -> None:
        self._path.log.append("forget")

    def unmount(self, *, lazy: bool) -> None:
        self._path.log.append("detach" if lazy else "unmount")
        if self._path.busy and not lazy:
            self._path.busy -= 1
            raise MountError("in use", code="busy")
        self._path.mounts.discard(self._mountpoint)

    def close(self) -> None:
        self._path.descriptions.pop(self._name, None)
        self._path.log.append("close")


class FakePath:
    """Mounts whatever is not among `missing`, and remembers what was done."""

    def __init__(self, codec: CodecChoice = CodecChoice(Kind.INO32)) -> None:  # noqa: B008 - it cannot change
        self._codec = codec
        self.pools: list[FakePool] = []
        self.mounts: set[Path] = set()
        self.log: list[str] = []
        self.missing: set[Path] = set()
        self.uuid = "aa"
        self.descriptions: dict[str, str] = {}
        self.busy = 0
        self.ready = True

    def mount(self, name: str, source: Path, identity: Identity, mountpoint: Path) -> Mounted:
        found = self.prove(source)
        assert identity.codec == found.codec
        if identity.source_id is not None:
            confirm(identity.source_id, found.id, source)
        self.log.append("mount")
        self.mounts.add(mountpoint)
        return FakeMount(self, name, mountpoint)

    def kept(self) -> Mapping[str, str]:
        return dict(self.descriptions)

    def adopt(self, name: str, source: Path, identity: Identity, mountpoint: Path) -> Mounted:
        assert identity.codec == self.prove(source).codec
        self.log.append("adopt")
        return FakeMount(self, name, mountpoint)

    def discard_kept(self) -> None:
        self.log.append("discard")

    def prove(self, source: Path) -> Backing:
        if source in self.missing:
            raise SourceError(f"the source {source} does not exist", code="source-missing")
        return Backing(self._codec, SourceId(1, bytes(source).hex(), 1, self.uuid))

    def unmount_stray(self, path: Path) -> None:
        self.mounts.remove(path)
