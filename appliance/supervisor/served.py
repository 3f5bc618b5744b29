"""One share being served: the life of its mount and of its pool process. What they tell goes to its PoolRecord.

The pool process repairs the death of a worker; the death of the pool process is repaired here. Both go on without the
reconcile lock, because whoever holds that may be waiting for a program that waits for this very share.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.backoff import Backoff
from appliance.control.messages import ShareState
from appliance.errors import HoldfastError, MountError
from appliance.fuse.caching import cached
from appliance.fuse.codecs.choice import Kind
from appliance.fuse.meter import Totals
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import RequestRefused
from appliance.logs import facts
from appliance.supervisor.datapath import DataPath, Mounted, Pool
from appliance.supervisor.plan import Wanted
from appliance.supervisor.pool_record import PoolFigures, PoolRecord
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_STATUS_SECONDS = 0.5
_BUSY_SECONDS = 5.0
_BUSY_POLL_SECONDS = 0.1


class ServedShare:
    """A mounted share and its pool. All methods belong to the event loop."""

    def __init__(
        self,
        wanted: Wanted,
        options: PoolOptions,
        lost: Callable[[], None],
        refused: Callable[[RequestRefused], None],
    ) -> None:
        """`options` are for any number of workers; `lost` is called when the mount has gone without our doing.

        `refused` is called with each request that was answered with EIO because workers died at it.
        """
        self.wanted = wanted
        self._options = options
        table = Path(options.table) if wanted.identity.codec.kind is Kind.TABLE else None
        self._record = PoolRecord(wanted.name, table, lost, refused)
        self._mounted: Mounted | None = None
        self._pool: Pool | None = None
        self._reader = -1
        self._restart: asyncio.TimerHandle | None = None
        self._backoff = Backoff(first=0.1, longest=10.0)

    async def open(self, data_path: DataPath, mountpoint: Path, ready_timeout: float) -> None:
        """Mount, start the workers and wait until they serve. Raises HoldfastError, and leaves nothing behind then."""

        def mount() -> None:
            wanted = self.wanted
            self._mounted = data_path.mount(wanted.name, Path(wanted.source), wanted.identity, mountpoint)

        try:
            await in_thread(mount)
            await in_thread(self._record.begin_table)
            self._start_pool()
            async with asyncio.timeout(ready_timeout):
                await self._record.ready.wait()
        except TimeoutError:
            await self.close(patience=0)
            reason = self._record.reason or "no word from them"
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
        self._mounted = data_path.adopt(wanted.name, Path(wanted.source), wanted.identity, mountpoint)
        self._record.begin_table()
        self._pool = self._mounted.adopt_pool(self._pool_options())
        self._record.recovered(None)
        if self._pool.pid is None:
            self._pool_down("the pool process died")
        else:
            self._listen(self._pool)
        _LOG.info("a share is served on", share=wanted.name, source=wanted.source)

    async def resize(self, wanted: Wanted) -> None:
        """Serve the same mount with another number of workers, or another caching. Requests wait meanwhile."""
        self._pause()
        self._record.starting()
        was, self.wanted = self.wanted, wanted
        pool, mounted = self._pool, self._mounted
        if pool:
            await in_thread(lambda: pool.resize(self._pool_options()))
        self._start_pool()
        self._mounted_keep()
        if mounted and was.caching is not wanted.caching:
            # What the kernel was told before it believes for as long as it was told.
            with contextlib.suppress(OSError):
                await in_thread(mounted.forget)

    async def unmount(self) -> None:
        """Unmount, unless somebody uses the mount for longer than a moment. Raises MountError, and goes on then."""
        if self._mounted:
            await _unmount(self._mounted, _BUSY_SECONDS)

    async def replace_workers(self, timeout: float) -> None:
        """End all workers and start as many new ones. Raises MountError if they do not serve in time."""
        await self.resize(self.wanted)
        try:
            async with asyncio.timeout(timeout):
                await self._record.ready.wait()
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
        await self.refresh()
        return self._record.state(await in_thread(self._record.table))

    async def refresh(self) -> None:
        """Ask the pool process how its workers are; it has half a second to answer."""
        self._record.polled.clear()
        if self._pool and self._reader >= 0:
            self._pool.request_status()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_SECONDS):
                    await self._record.polled.wait()

    def totals(self) -> Totals:
        """Return what the workers have counted since the share was mounted."""
        return self._pool.totals() if self._pool else Totals()

    def figures(self) -> PoolFigures:
        """Return what the pool processes have told of themselves."""
        return self._record.figures()

    @property
    def source(self) -> int | None:
        """The descriptor of the source directory, None while it is not mounted."""
        return self._mounted.source if self._mounted else None

    @property
    def pool_pid(self) -> int | None:
        """The pool process's id, None while there is none."""
        return self._pool.pid if self._pool else None

    @property
    def serving(self) -> bool:
        """Whether workers answer."""
        return self._record.status in ("ok", "degraded") and self._reader >= 0

    def _start_pool(self) -> None:
        assert self._mounted is not None  # noqa: S101 - only called between open and close
        self._restart = None
        if self._pool is None:
            self._pool = self._mounted.pool(self._pool_options(), self.wanted.identity.key)
        try:
            self._pool.start()
        except OSError as error:
            self._pool_down(f"the pool process cannot be started: {error}")
            return
        self._listen(self._pool)

    def _pool_options(self) -> PoolOptions:
        return cached(replace(self._options, workers=self.wanted.workers), self.wanted.caching)

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
            self._record.take(event)

    def _pool_down(self, reason: str) -> None:
        delay = self._backoff.after_failure(time.monotonic())
        self._record.pool_down(reason)
        _LOG.warning("a pool process is down", share=self.wanted.name, reason=reason, retry_seconds=delay)
        self._restart = asyncio.get_running_loop().call_later(delay, self._start_pool)


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
