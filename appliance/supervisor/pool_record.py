"""What is known of one share's workers: what its pool process has told, made into the share's state.

Bookkeeping only: starting, ending and listening are appliance.supervisor.served's business.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.control.messages import CachingView, DataPathView, HandleTable, ShareState, Status, WorkerView
from appliance.fuse.codecs.table import TableSize, measure
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
from appliance.fuse.scoreboard import WorkerStatus
from appliance.logs import facts

_LOG = facts(__name__)


@dataclass(frozen=True)
class PoolFigures:
    """Counts since this supervisor began to serve the share; from descriptors on it is what is now; so are workers."""

    workers: int
    deaths: int
    recoveries: int
    refused: int
    resends: int
    descriptors: int
    kept_inodes: int
    data_path: DataPathView | None


class PoolRecord:
    """The state of a share's workers. All methods belong to the event loop, but for those of the table."""

    def __init__(
        self, name: str, table: Path | None, lost: Callable[[], None], refused: Callable[[RequestRefused], None]
    ) -> None:
        """`table` is the share's table of handles, None without one; `lost` is called when the mount has gone.

        `refused` is called with each request that was answered with EIO because workers died at it.
        """
        self.ready = asyncio.Event()
        """Set while the share's workers serve, or have served and are being replaced."""
        self.polled = asyncio.Event()
        """Set when the answer to a request for status is here."""
        self.status: Status = "starting"
        self.reason = ""
        self._name = name
        self._table = table
        self._lost = lost
        self._on_refused = refused
        self._workers: tuple[WorkerView, ...] = ()
        self._data_path: DataPathView | None = None
        self._caching: CachingView | None = None
        self._deaths = 0
        self._refused = 0
        self._slow: StorageSlow | None = None
        self._slow_since = 0.0
        self._recoveries = 0
        self._last_recovery: float | None = None
        self._died_at: float | None = None
        self._table_before = TableSize(0, 0)
        self._resends = 0
        self._resends_before = 0
        self._kept_inodes = 0

    # What happens to the workers

    def starting(self) -> None:
        """All workers are being replaced on purpose."""
        self.ready.clear()
        self.status, self.reason = "starting", ""

    def pool_down(self, reason: str) -> None:
        """The pool process is gone, and another one will come."""
        self._slow = None  # the next one tells, if it is so
        self._resends_before += self._resends  # the next one begins to count anew
        self._resends = 0
        self._degrade(f"{reason}; another is started")

    def recovered(self, milliseconds: float | None) -> None:
        """All workers serve, after so long if it is known."""
        if self.ready.is_set():
            self._recoveries += 1
            self._last_recovery = milliseconds
        self.status, self.reason, self._died_at = "ok", "", None
        self.ready.set()

    def take(self, event: PoolEvent) -> None:
        """Take in what the pool process tells."""
        name = self._name
        match event:
            case PoolReady():
                since = None if self._died_at is None else (time.monotonic() - self._died_at) * 1000
                self.recovered(since)
            case WorkerDied(pid, reason):
                self._deaths += 1
                self._degrade(f"worker {pid} {reason}; it is being replaced")
                _LOG.warning("a worker died", share=name, pid=pid, reason=reason)
            case PoolRecovered(milliseconds, intents):
                self.recovered(milliseconds)
                _LOG.info("service was restored", share=name, milliseconds=round(milliseconds, 1), intents=intents)
            case PoolDegraded(message, retry_in):
                self._degrade(message)
                _LOG.error("workers keep dying", share=name, reason=message, retry_seconds=retry_in)
            case RequestRefused(operation, node, deaths):
                self._refused += 1
                where = f"{node:#x}"
                _LOG.error("a request was refused with EIO", share=name, operation=operation, node=where, deaths=deaths)
                self._on_refused(event)
            case StorageSlow(operation, node, seconds):
                self._slow, self._slow_since = event, time.monotonic() - seconds
                _LOG.warning("storage slow", share=name, operation=operation, node=f"{node:#x}", seconds=round(seconds))
            case StorageFine():
                self._slow = None
                _LOG.info("storage answers again", share=name)
            case PoolDisconnected():
                self.status, self.reason = "failed", "somebody has unmounted it"
                self._lost()
            case PoolStatus(workers, _, resends, kept, data_path, caching):
                self._workers = tuple(map(_view, workers))
                self._resends, self._kept_inodes = resends, kept
                self._data_path = DataPathView(**asdict(data_path))
                self._caching = CachingView(**asdict(caching))
                self.polled.set()

    def _degrade(self, reason: str) -> None:
        self.status = "degraded" if self.ready.is_set() else "starting"
        self.reason = reason
        self._died_at = self._died_at or time.monotonic()

    # What is told of them

    def state(self, table: HandleTable | None) -> ShareState:
        """Return the share's state, with the size of its table as `table()` tells it."""
        slow = self._slow if self.status == "ok" else None
        return ShareState(
            status="degraded" if slow else self.status,
            reason=self._slowness(slow) if slow else self.reason,
            workers=self._workers,
            worker_deaths=self._deaths,
            refused_requests=self._refused,
            recoveries=self._recoveries,
            last_recovery_ms=self._last_recovery,
            data_path=self._data_path,
            caching=self._caching,
            handle_table=table,
        )

    def figures(self) -> PoolFigures:
        """Return the counts, as of the last request for status."""
        return PoolFigures(
            workers=sum(worker.serving for worker in self._workers),
            deaths=self._deaths,
            recoveries=self._recoveries,
            refused=self._refused,
            resends=self._resends_before + self._resends,
            descriptors=sum(worker.descriptors for worker in self._workers),
            kept_inodes=self._kept_inodes,
            data_path=self._data_path,
        )

    def _slowness(self, slow: StorageSlow) -> str:
        """Say what waits for storage, and for how long by now."""
        return (
            f"storage slow: {slow.operation} of node {slow.node:#x} for {time.monotonic() - self._slow_since:.0f} s; "
            f"{slow.waiting} of {slow.workers} workers wait"
        )

    def begin_table(self) -> None:
        """Count what is added to the table from now on. Blocks."""
        self._table_before = self._measure() or self._table_before

    def table(self) -> HandleTable | None:
        """Return how large the table is, None for a share that needs none. Blocks."""
        now = self._measure()
        if now is None:
            return None
        return HandleTable(entries=now.entries, added=now.entries - self._table_before.entries, bytes=now.bytes)

    def _measure(self) -> TableSize | None:
        """Return the size of the table, None without one: it is made by the first worker that needs it."""
        if self._table is None:
            return None
        try:
            return measure(self._table)
        except (sqlite3.Error, OSError):
            return None


def _view(worker: WorkerStatus) -> WorkerView:
    return WorkerView(
        pid=worker.pid,
        serving=worker.serving,
        requests=worker.requests,
        errors=worker.errors,
        descriptors=worker.descriptors,
        cache_hits=worker.cache_hits,
        cache_misses=worker.cache_misses,
    )
