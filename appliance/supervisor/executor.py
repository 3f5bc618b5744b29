"""Carrying out a plan: the thin part that touches the system, and what it remembers of failures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from appliance.backoff import Backoff
from appliance.errors import CommandError, HoldfastError, SourceError
from appliance.fuse.connection import FILESYSTEM_TYPE
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import RequestRefused
from appliance.fuse.source_id import SourceId, confirm
from appliance.logs import facts
from appliance.model.handles import HandleHealth
from appliance.model.numbers import Capacity
from appliance.nfs.exports import Export, expected, pairs_of
from appliance.nfs.server import Exported, NfsServer
from appliance.settings import Settings
from appliance.state.records import ShareRecord
from appliance.supervisor import mountinfo
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.lost_writes import LostWrites
from appliance.supervisor.missing import Missing
from appliance.supervisor.plan import (
    Action,
    ApplyExports,
    Observed,
    Open,
    Release,
    Resize,
    SetThreads,
    Unmount,
    Wanted,
)
from appliance.supervisor.served import ServedShare
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


@dataclass
class Fault:
    """The last try failed: why, and when the next is due (time.monotonic())."""

    error: HoldfastError
    retry_at: float
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, longest=30.0, healthy=120.0))


async def _nobody_cares(_name: str) -> None:
    pass


class Executor:
    """Observes and acts; one caller at a time."""

    def __init__(self, settings: Settings, server: NfsServer, data_path: DataPath, lost: Callable[[], None]) -> None:
        """`lost` is called when something went that reconciling would bring back."""
        self.served: dict[str, ServedShare] = {}
        self.faults: dict[str, Fault] = {}
        """By share; the NFS server's own is under the empty name."""
        self.health: dict[str, HandleHealth] = {}
        """By share: what checks and the canary say of its handles."""
        self.capacity: dict[str, Capacity] = {}
        """By share: the room on its source, as its canary saw it last."""
        self.missing: dict[str, Missing] = {}
        """By share: the source is gone."""
        self.leaving: set[str] = set()
        """Shares that are about to be unmounted: who looks at them now would find nothing and take it for a fault."""
        self.letting_go: Callable[[str], Awaitable[None]] = _nobody_cares
        """Called with a share's name before it is unmounted."""
        self.refused: Callable[[str, RequestRefused], None] = lambda _share, _request: None
        """Called with a share's name and what was answered with EIO because workers died at it."""
        self._settings = settings
        self._server = server
        self._data_path = data_path
        self._lost = lost
        self._lost_writes = LostWrites(settings.run_dir / "lost-writes")

    def adopt(self) -> None:
        """Go on serving what a supervisor before this one has left."""
        for name, description in self._data_path.kept().items():
            try:
                share = self._share(Wanted.from_json(description))
                share.adopt(self._data_path, self._mountpoint(share.wanted))
            except (ValueError, KeyError) as error:
                _LOG.error("a share cannot be adopted and is mounted anew", share=name, reason=error)
            else:
                self.served[name] = share
        self._data_path.discard_kept()

    async def observe(self) -> Observed:
        """Look at what is. Raises CommandError if the NFS side cannot be asked."""
        found = await in_thread(lambda: mountinfo.below(self._settings.exports_dir))
        return Observed(
            served={name: share.wanted for name, share in self.served.items()},
            mounts=frozenset(mount.path for mount in found),
            exported=self._server.exported(),
            threads=await self._server.threads(),
            waiting=frozenset(filter(self._is_waiting, self.faults)),
            lost_writes=self._lost_writes.fsids,
        )

    async def in_force(self, records: Sequence[ShareRecord]) -> set[str]:
        """Return which shares are mounted and exported to their clients, as kernel and exportfs have it.

        Both tables are read once, however many shares there are: each has a line or more for every share.
        """
        root = self._settings.exports_dir
        seen = {mount.path: mount.kind for mount in await in_thread(lambda: mountinfo.below(root))}
        pairs = self._server.exported().pairs
        paths = {record.share.name: self._settings.mountpoint(record.share.export_path) for record in records}
        return {
            record.share.name
            for record in records
            if seen.get(path := paths[record.share.name]) == FILESYSTEM_TYPE
            and pairs_of(path, record.share.clients) <= pairs
        }

    async def execute(self, actions: Sequence[Action]) -> None:
        """Carry the plan out. A share's failure is remembered and the rest goes on; the NFS server's is raised.

        Actions of one kind that follow one another are about different shares, and are done side by side.
        """
        for kind, group in groupby(actions, type):
            if kind is Unmount:  # these may be one inside the other
                for action in group:
                    await self._act(action)
            else:
                # All of them end before the first error goes on, also when they are cancelled.
                for result in await asyncio.gather(*map(self._act, group), return_exceptions=True):
                    if isinstance(result, BaseException):
                        raise result

    async def _act(self, action: Action) -> None:
        _LOG.debug("acting", action=action)
        match action:
            case SetThreads(threads):
                await self._set_threads(threads)
            case ApplyExports(exported):
                await self._server.export(exported, self._unserved(exported))
            case Release(name, clients):
                await self.release(name, clients=clients)
            case Unmount(path):
                await self._unmount(path)
            case Resize(wanted):
                await self.served[wanted.name].resize(wanted)
            case Open(wanted):
                await self._open(wanted)

    async def _set_threads(self, threads: int) -> None:
        anew = threads and not await self._server.threads()
        # What is lost from here on, or is still to be let go of, clients of the new server can lose again.
        held = {missing.wanted.identity.fsid for name, missing in self.missing.items() if name in self.served}
        settled = self._lost_writes.fsids - held
        await self._server.set_threads(threads)
        if anew:
            self._lost_writes.settle(settled)

    def note_left_out(self, exports: Sequence[Export]) -> None:
        """Remember which served shares lack a client, as happens to one whose host name DNS does not know just now."""
        root = self._settings.exports_dir
        lacking = {path for path, _ in expected(root, exports) - self._server.exported().pairs}
        for name, share in self.served.items():
            if str(self._mountpoint(share.wanted)) in lacking:
                hint = "see that DNS knows the host names of the share's clients, or give their addresses"
                self.fail(name, CommandError("a client has a host name without an address and is left out", hint))
            else:
                self.faults.pop(name, None)

    def _prune(self, mountpoint: Path) -> None:
        """Take away the directories that led to a mount point, as far as they are empty."""
        for directory in mountpoint.parents:
            if directory == self._settings.exports_dir or self._settings.exports_dir not in directory.parents:
                return
            with contextlib.suppress(OSError):
                directory.rmdir()

    def fail(self, name: str, error: HoldfastError) -> None:
        """Remember a failure and when the next try is due."""
        fault = self.faults.setdefault(name, Fault(error, 0.0))
        now = time.monotonic()
        fault.error, fault.retry_at = error, now + fault.backoff.after_failure(now)
        _LOG.error("failed", share=name or "-", reason=error.message, hint=error.hint)

    async def identify(self, record: ShareRecord) -> SourceId | None:
        """Return what a share's source is now, None if that cannot be told."""
        try:
            return (await in_thread(lambda: self._data_path.prove(Path(record.share.source)))).id
        except HoldfastError:
            return None

    def retry_sources(self) -> None:
        """Let shares whose source was not there be tried again at once."""
        for fault in self.faults.values():
            if isinstance(fault.error, SourceError):
                fault.retry_at = 0.0

    def gone(self, name: str, missing: Missing) -> None:
        """Take note that a source is gone."""
        self.missing[name] = missing
        if missing.broken:
            self._lost_writes.note(missing.wanted.identity.fsid)

    async def await_lost(self, records: Sequence[ShareRecord]) -> None:
        """Fail shares that lost writes and whose source is not back: only with it shall the NFS server start anew.

        Before that, clients could not reclaim what they hold on the share, and would be late for all others.
        """
        for record in records:
            name = record.share.name
            known = name in self.served or name in self.missing or self._is_waiting(name)
            if record.share.enabled and not known and record.identity.fsid in self._lost_writes.fsids:
                try:
                    await in_thread(lambda record=record: self._confirm(record))  # type: ignore[misc]
                except HoldfastError as error:
                    self.fail(name, error)

    def _confirm(self, record: ShareRecord) -> None:
        path, source_id = Path(record.share.source), record.identity.source_id
        found = self._data_path.prove(path)
        if source_id is not None:
            confirm(source_id, found.id, path)

    def retry(self, name: str) -> None:
        """Let a share be tried at once, whatever failed before. A source that is gone is so until it is looked at."""
        self.faults.pop(name, None)

    def forget(self, name: str) -> None:
        """Forget what was wrong with a share, whose source is there."""
        self.missing.pop(name, None)
        self.faults.pop(name, None)

    def _is_waiting(self, name: str) -> bool:
        fault = self.faults.get(name)
        return name not in self.served and fault is not None and fault.retry_at > time.monotonic()

    def lacks_source(self, name: str) -> bool:
        """Whether a share's source is gone, or was not there when it was to be served."""
        fault = self.faults.get(name)
        unserved = name not in self.served and fault is not None and isinstance(fault.error, SourceError)
        return name in self.missing or unserved

    def _share(self, wanted: Wanted) -> ServedShare:
        table = self._settings.state_dir / "tables" / f"{wanted.identity.fsid}.db"
        settings = self._settings
        options = PoolOptions(
            most_workers=settings.most_workers,
            slow_after=settings.slow_after,
            descriptors=settings.descriptors,
            table=str(table),
            durable=True,
            passthrough=settings.passthrough,
        )
        return ServedShare(wanted, options, self._lost, lambda request: self.refused(wanted.name, request))

    async def _open(self, wanted: Wanted) -> None:
        share = self._share(wanted)
        try:
            mountpoint = self._mountpoint(wanted)
            await in_thread(lambda: mountpoint.parent.mkdir(parents=True, exist_ok=True))
            await share.open(self._data_path, mountpoint, self._settings.ready_timeout)
        except HoldfastError as error:
            self.fail(wanted.name, error)
        else:
            self.served[wanted.name] = share
            self.faults.pop(wanted.name, None)

    async def withdraw(self, name: str, *, revoke: bool) -> None:
        """Unmount a share; raises MountError if it is in use, unless what its clients hold may be taken from them."""
        async with self._taking_leave(name):
            if not revoke:
                await self.served[name].unmount()
            await self._release(name, clients=revoke)

    async def release(self, name: str, *, clients: bool) -> None:
        """Unmount a share and end its workers. `clients` also ends the state that NFS clients have on it."""
        async with self._taking_leave(name):
            await self._release(name, clients=clients)

    @contextlib.asynccontextmanager
    async def _taking_leave(self, name: str) -> AsyncIterator[None]:
        self.leaving.add(name)
        try:
            await self.letting_go(name)
            yield
        finally:
            self.leaving.discard(name)

    async def _release(self, name: str, *, clients: bool) -> None:
        share = self.served[name]
        if clients:
            try:
                await self._server.release(self._mountpoint(share.wanted))
            except HoldfastError as error:
                _LOG.warning("clients may hold the share", share=name, reason=error.message)
        await share.close()
        await in_thread(lambda: self._prune(self._mountpoint(share.wanted)))
        del self.served[name]  # only now: whoever is cancelled on the way has to come back to it
        _LOG.info("a share is no longer served", share=name)

    async def _unmount(self, path: Path) -> None:
        _LOG.warning("unmounting what nobody serves", path=path)
        try:
            await in_thread(lambda: self._data_path.unmount_stray(path))
        except OSError as error:
            _LOG.error("cannot unmount", path=path, reason=error)

    def _unserved(self, exported: Exported) -> list[Path]:
        paths = {Path(path) for path, _ in exported.pairs} - {self._settings.exports_dir}
        return sorted(paths - {self._mountpoint(share.wanted) for share in self.served.values()})

    def _mountpoint(self, wanted: Wanted) -> Path:
        return wanted.mountpoint(self._settings.exports_dir)
