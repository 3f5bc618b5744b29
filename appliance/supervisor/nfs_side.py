"""The NFS side as a whole: its namespace and the daemons in it, started in order, kept running, stopped in reverse.

A daemon that ends is restarted alone. If the namespace's anchor ends, all is started anew, because nothing could enter
the namespace any more: knfsd goes down with it, and clients reclaim what they had, as after a restart of the appliance.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from appliance.errors import CommandError, HoldfastError
from appliance.logs import facts
from appliance.nfs.daemons import daemons
from appliance.nfs.namespace import NfsNamespace
from appliance.nfs.server import NfsServer
from appliance.settings import Settings
from appliance.supervisor.backoff import Backoff
from appliance.supervisor.guard import Guard
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


class NfsSide:
    """Starts, watches and stops what serves NFS, except nfsd's threads: those are the plan's."""

    def __init__(self, settings: Settings) -> None:
        self.namespace = NfsNamespace(settings.command_timeout)
        self.server = NfsServer(settings, self.namespace)
        self._settings = settings
        self._guards: list[Guard] = []
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Start the namespace and the daemons, each after the one before is ready. Raises HoldfastError."""
        async with AsyncExitStack() as stack:
            await in_thread(self.server.prepare)
            stack.push_async_callback(self.namespace.stop)
            await self.namespace.start()
            self._guards = []
            for spec in daemons(self._settings):
                guard = Guard(spec, self.namespace, self._settings.ready_timeout)
                stack.push_async_callback(guard.stop)
                await guard.start()
                self._guards.append(guard)
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """End the daemons and the namespace, with which nfsd goes too."""
        await self._stack.aclose()

    async def watch(self, restarted: Callable[[], None]) -> None:
        """Start all anew whenever the anchor ends, and call `restarted` then. Runs until it is cancelled."""
        backoff = Backoff()
        while True:
            await self.namespace.ended()
            delay = backoff.after_failure(time.monotonic())
            _LOG.error("the NFS side is down and is started anew", retry_seconds=delay)
            await self.stop()
            await asyncio.sleep(delay)
            try:
                await self.start()
            except HoldfastError as error:
                _LOG.error("the NFS side does not start", reason=error.message, hint=error.hint)
            else:
                restarted()

    async def problems(self) -> list[str]:
        """Return what is wrong; empty if all daemons are up, the server has threads and its clients can reclaim."""
        found = [guard.problem for guard in self._guards if guard.problem]
        try:
            if await self.server.threads() == 0:
                found.append("the NFS server has no threads")
            else:
                pids = {guard.spec.name: guard.pid for guard in self._guards}
                self.server.check_tracking(pids.get("nfsdcld"))
        except CommandError as error:
            found.append(error.message)
        return found
