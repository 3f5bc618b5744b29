"""One share being served: its mount, its pool process, and what became of them.

The pool process repairs the death of a worker; the death of the pool process is repaired here. Both go on without the
reconcile lock, because whoever holds that may be waiting for a program that waits for this very share.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.backoff import Backoff
from appliance.control import HandleTable, ShareState, Status, WorkerView
from appliance.errors import HoldfastError, MountError
from appliance.fuse.codecs.choice import Kind
from appliance.fuse.codecs.table import TableSize, measure
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import (
    PoolDegraded,
    PoolDisconnected,
    PoolEvent,
    PoolReady,
    PoolRecovered,
    PoolStatus,
    RequestRefused,
    StorageFine,
    StorageSlow,
    WorkerDied,
)
from appliance.logs import facts
from appliance.supervisor.datapath import DataPath, Mounted, Pool
from appliance.supervisor.plan import Wanted
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_STATUS_SECONDS = 0.5
_BUSY_SECONDS = 5.0
_BUSY_POLL_SECONDS = 0.1


class ServedShare:
    """A mounted share and its pool. All methods belong to the event loop."""

    def __init__(self, wanted: Wanted, options: PoolOptions, lost: Callable[[], None]) -> None:
        """`lost` is called when the mount has gone without our doing; `options` are for any number of workers."""
        self.wanted = wanted
        self._options = options
        self._lost = lost
        self._mounted: Mounted | None = None
        self._pool: Pool | None = None
        self._reader = -1
        self._restart: asyncio.TimerHandle | None = None
        self._backoff = Backoff(first=0.1, longest=10.0)
        self._status: Status = "starting"
        self._reason = ""
        self._ready = asyncio.Event()
        self._polled = asyncio.Event()
        self._workers: tuple[WorkerView, ...] = ()
        self._deaths = 0
        self._refused = 0
        self._slow: StorageSlow | None = None
        self._slow_since = 0.0
        self._recoveries = 0
        self._last_recovery: float | None = None
        self._died_at: float | None = None
        self._table_before = TableSize(0, 0)

    async def open(self, data_path: DataPath, mountpoint: Path, ready_timeout: float) -> None:
        """Mount, start the workers and wait until they serve. Raises HoldfastError, and leaves nothing behind then."""

        def mount() -> None:
            wanted = self.wanted
            self._mounted = data_path.mount(wanted.name, Path(wanted.source), wanted.identity.codec, mountpoint)

        try:
            await in_thread(mount)
            if (before := await in_thread(self._measure)) is not None:
                self._table_before = before
            self._start_pool()
            await asyncio.wait_for(self._ready.wait(), ready_timeout)
        except TimeoutError:
            await self.close(patience=0)
            reason = self._reason or "no word from them"
            raise MountError(
                f"the workers of {self.wanted.name} do not serve within {ready_timeout:g} s: {reason}",
                "see their output in the log",
            ) from None
        except BaseException:
            await self.close(patience=0)
            raise
        self._mounted_keep()
        _LOG.info("a share is served", share=self.wanted.name, source=self.wanted.source)

    def adopt(self, data_path: DataPath, mountpoint: Path) -> None:
        """Go on with a share that a supervisor before this one has served, and that has been served since."""
        wanted = self.wanted
        self._mounted = data_path.adopt(wanted.name, Path(wanted.source), wanted.identity.codec, mountpoint)
        self._table_before = self._measure() or self._table_before
        self._pool = self._mounted.adopt_pool(replace(self._options, workers=wanted.workers))
        self._recovered(None)
        if self._pool.pid is None:
            self._pool_down("the pool process died")
        else:
            self._listen(self._pool)
        _LOG.info("a share is served on", share=wanted.name, source=wanted.source)

    async def resize(self, wanted: Wanted) -> None:
        """Serve the same mount with another number of workers. Requests wait meanwhile."""
        self._pause()
        self._ready.clear()
        self._status, self._reason = "starting", ""
        pool = self._pool
        if pool:
            await in_thread(lambda: pool.resize(wanted.workers))
        self.wanted = wanted
        self._start_pool()
        self._mounted_keep()

    async def unmount(self) -> None:
        """Unmount, unless somebody uses the mount for longer than a moment. Raises MountError, and goes on then."""
        if self._mounted:
            await _unmount(self._mounted, _BUSY_SECONDS)

    async def replace_workers(self, timeout: float) -> None:
        """End all workers and start as many new ones. Raises MountError if they do not serve in time."""
        await self.resize(self.wanted)
        try:
            await asyncio.wait_for(self._ready.wait(), timeout)
        except TimeoutError:
            raise MountError(f"the new workers of {self.wanted.name} do not serve within {timeout:g} s") from None

    async def close(self, *, patience: float = _BUSY_SECONDS) -> None:
        """Unmount and end the workers. A mount still in use after `patience` seconds is detached and cut off."""
        if self._mounted:
            mounted = self._mounted
            try:
                await _unmount(mounted, patience)
            except MountError as error:
                _LOG.warning("a share in use is detached", share=self.wanted.name, reason=error.message)
                with contextlib.suppress(OSError, HoldfastError):
                    await in_thread(lambda: mounted.unmount(lazy=True))
        await self._stop_pool()
        if self._mounted:
            self._mounted.close()
            self._mounted = None

    async def state(self) -> ShareState:
        """Return how the share is doing, asking the pool process first, which has half a second to answer."""
        self._polled.clear()
        if self._pool and self._reader >= 0:
            self._pool.request_status()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._polled.wait(), _STATUS_SECONDS)
        slow = self._slow if self._status == "ok" else None
        return ShareState(
            status="degraded" if slow else self._status,
            reason=self._slowness(slow) if slow else self._reason,
            workers=self._workers,
            worker_deaths=self._deaths,
            refused_requests=self._refused,
            recoveries=self._recoveries,
            last_recovery_ms=self._last_recovery,
            handle_table=await in_thread(self._table),
        )

    def _table(self) -> HandleTable | None:
        now = self._measure()
        if now is None:
            return None
        return HandleTable(entries=now.entries, added=now.entries - self._table_before.entries, bytes=now.bytes)

    def _measure(self) -> TableSize | None:
        """Return the size of the table, None without one: it is made by the first worker that needs it."""
        if self.wanted.identity.codec.kind is not Kind.TABLE:
            return None
        try:
            return measure(Path(self._options.table))
        except (sqlite3.Error, OSError):
            return None

    @property
    def source(self) -> int | None:
        """The descriptor of the source directory, None while it is not mounted."""
        return self._mounted.source if self._mounted else None

    @property
    def pool_pid(self) -> int | None:
        """The pool process's id, None while there is none."""
        return self._pool.pid if self._pool else None

    def _slowness(self, slow: StorageSlow) -> str:
        """Say what waits for storage, and for how long by now."""
        return (
            f"storage slow: {slow.operation} of node {slow.node:#x} for {time.monotonic() - self._slow_since:.0f} s; "
            f"{slow.waiting} of {slow.workers} workers wait"
        )

    @property
    def serving(self) -> bool:
        """Whether workers answer."""
        return self._status in ("ok", "degraded") and self._reader >= 0

    def _start_pool(self) -> None:
        assert self._mounted is not None  # noqa: S101 - only called between open and close
        self._restart = None
        if self._pool is None:
            options = replace(self._options, workers=self.wanted.workers)
            self._pool = self._mounted.pool(options, self.wanted.identity.key)
        try:
            self._pool.start()
        except OSError as error:
            self._pool_down(f"the pool process cannot be started: {error}")
            return
        self._listen(self._pool)

    def _listen(self, pool: Pool) -> None:
        self._reader = pool.fileno()
        asyncio.get_running_loop().add_reader(self._reader, self._read)

    def _mounted_keep(self) -> None:
        if self._mounted:
            self._mounted.keep(self.wanted.to_json())

    def _pause(self) -> None:
        """Neither listen to the pool process nor start another one."""
        if self._restart:
            self._restart.cancel()
            self._restart = None
        self._forget_reader()

    async def _stop_pool(self) -> None:
        self._pause()
        pool, self._pool = self._pool, None
        if pool:
            await in_thread(pool.close)

    def _forget_reader(self) -> None:
        if self._reader >= 0:
            asyncio.get_running_loop().remove_reader(self._reader)
            self._reader = -1

    def _read(self) -> None:
        if self._pool is None:
            return
        events = self._pool.receive()
        if events is None:
            self._forget_reader()
            self._pool_down("the pool process died")
            return
        for event in events:
            self._take(event)

    def _pool_down(self, reason: str) -> None:
        self._slow = None  # the next one tells, if it is so
        delay = self._backoff.after_failure(time.monotonic())
        self._degrade(f"{reason}; another is started")
        _LOG.warning("a pool process is down", share=self.wanted.name, reason=reason, retry_seconds=delay)
        self._restart = asyncio.get_running_loop().call_later(delay, self._start_pool)

    def _degrade(self, reason: str) -> None:
        self._status = "degraded" if self._ready.is_set() else "starting"
        self._reason = reason
        self._died_at = self._died_at or time.monotonic()

    def _recovered(self, milliseconds: float | None) -> None:
        if self._ready.is_set():
            self._recoveries += 1
            self._last_recovery = milliseconds
        self._status, self._reason, self._died_at = "ok", "", None
        self._ready.set()

    def _take(self, event: PoolEvent) -> None:
        name = self.wanted.name
        match event:
            case PoolReady():
                since = None if self._died_at is None else (time.monotonic() - self._died_at) * 1000
                self._recovered(since)
            case WorkerDied(pid, reason):
                self._deaths += 1
                self._degrade(f"worker {pid} {reason}; it is being replaced")
                _LOG.warning("a worker died", share=name, pid=pid, reason=reason)
            case PoolRecovered(milliseconds, intents):
                self._recovered(milliseconds)
                _LOG.info("service was restored", share=name, milliseconds=round(milliseconds, 1), intents=intents)
            case PoolDegraded(message, retry_in):
                self._degrade(message)
                _LOG.error("workers keep dying", share=name, reason=message, retry_seconds=retry_in)
            case RequestRefused(operation, node, deaths):
                self._refused += 1
                where = f"{node:#x}"
                _LOG.error("a request was refused with EIO", share=name, operation=operation, node=where, deaths=deaths)
            case StorageSlow(operation, node, seconds):
                self._slow, self._slow_since = event, time.monotonic() - seconds
                _LOG.warning("storage slow", share=name, operation=operation, node=f"{node:#x}", seconds=round(seconds))
            case StorageFine():
                self._slow = None
                _LOG.info("storage answers again", share=name)
            case PoolDisconnected():
                self._status, self._reason = "failed", "somebody has unmounted it"
                self._lost()
            case PoolStatus(workers):
                self._workers = tuple(
                    WorkerView(
                        pid=worker.pid,
                        serving=worker.serving,
                        requests=worker.requests,
                        errors=worker.errors,
                        descriptors=worker.descriptors,
                        cache_hits=worker.cache_hits,
                        cache_misses=worker.cache_misses,
                    )
                    for worker in workers
                )
                self._polled.set()


async def _unmount(mounted: Mounted, patience: float) -> None:
    """Unmount, trying again while the kernel lets go of what it used; raises the last MountError."""
    deadline = time.monotonic() + patience
    while True:
        try:
            await in_thread(lambda: mounted.unmount(lazy=False))
        except MountError:
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(_BUSY_POLL_SECONDS)
        else:
            return
