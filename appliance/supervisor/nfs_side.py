"""The NFS side as a whole: nfsd's mount and the daemons, started in order, kept running, stopped in reverse."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from appliance.errors import CommandError
from appliance.logs import facts
from appliance.model import Share
from appliance.nfs import lock_holders, protection
from appliance.nfs.daemons import daemons, statd_dir
from appliance.nfs.protectors import protectors
from appliance.nfs.server import NfsServer
from appliance.settings import Settings
from appliance.supervisor import kernel_mounts, preconditions
from appliance.supervisor.first_orders import FirstProcess
from appliance.supervisor.guard import Guard
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


class NfsSide:
    """Starts and stops what serves NFS, except nfsd's threads: those are the plan's."""

    def __init__(self, settings: Settings, first: FirstProcess) -> None:
        self.server = NfsServer(settings)
        self.settings = settings
        """Those that the server and its daemons were started with, but for the number of threads."""
        self._first = first
        self._guards: list[Guard] = []
        self._protectors: list[Guard] = []
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Mount nfsd and start the daemons, each after the one before is ready. Raises HoldfastError.

        Where a supervisor before this one has left shares that are served, no late daemon is a reason to end them.
        """
        async with AsyncExitStack() as stack:
            await in_thread(self.server.prepare)
            await in_thread(kernel_mounts.mount_pipefs)
            stack.push_async_callback(in_thread, kernel_mounts.unmount_pipefs)
            nfsd = await in_thread(self._first.mount_nfsd)
            self.server.use(nfsd)
            await in_thread(lambda: kernel_mounts.mount_stand_in(nfsd))
            stack.push_async_callback(in_thread, kernel_mounts.unmount_stand_in)
            stack.push_async_callback(self._stop_daemons)
            await self._start_daemons(patient=self._first.again)
            await self.server.tell_clients()
            for spec in await in_thread(lambda: protectors(self.settings)):
                guard = Guard(spec, self.settings.ready_timeout)
                stack.push_async_callback(guard.stop)
                # Without them the shares that need none of them are served all the same.
                await guard.start(patient=True)
                self._protectors.append(guard)
            self._stack = stack.pop_all()

    async def restart(self, settings: Settings, *, patient: bool = False) -> None:
        """Stop the server and start its daemons anew with other settings; the threads are for the plan to start.

        Clients keep what they may reclaim, as at any start. Raises HoldfastError, with some daemons running and some
        not, unless `patient`: then a daemon that is not ready in its time is tried again, as if it had been.
        """
        _LOG.info("the NFS server is started anew for other settings")
        await self.server.set_threads(0)
        await self._stop_daemons()
        self.settings = self.server.settings = settings
        await self._start_daemons(patient=patient)

    async def _start_daemons(self, *, patient: bool) -> None:
        if self.settings.nfs_v3:
            preconditions.check_programs(preconditions.PROGRAMS_V3)
            await in_thread(lambda: lock_holders.prepare(statd_dir(self.settings)))
        for spec in daemons(self.settings):
            guard = Guard(spec, self.settings.ready_timeout)
            self._guards.append(guard)
            await guard.start(patient=patient)

    async def _stop_daemons(self) -> None:
        while self._guards:
            await self._guards[-1].stop()
            self._guards.pop()

    async def stop(self) -> None:
        """End the daemons. nfsd itself goes with the first process."""
        await self._stack.aclose()

    def restarts(self) -> dict[str, int]:
        """Return how often each daemon had to be started again."""
        return {guard.spec.name: guard.restarts for guard in (*self._guards, *self._protectors)}

    async def unprotected(self, shares: Sequence[Share]) -> list[tuple[str, str, str]]:
        """Return what shares ask of the wire and nobody keeps: code of the finding, what is missing, what mends it."""
        clients = [client for share in shares for client in share.clients]
        kerberos, tls = protection.needed(clients)
        by_certificate = any(client.transport == "mtls" for client in clients)
        found = []
        if kerberos and (lack := await in_thread(protection.lacks_kerberos)):
            found.append(("kerberos-missing", *lack))
        lack = await in_thread(protection.lacks_tls) if tls else None
        if lack is None and by_certificate:
            lack = await in_thread(protection.lacks_keyrings)
        if lack is not None:
            found.append(("tls-missing", *lack))
        return found

    async def problems(self) -> list[str]:
        """Return what is wrong; empty if all daemons are up, the server answers and its clients can reclaim."""
        found = [guard.problem for guard in self._guards if guard.problem]
        try:
            if not await self.server.answers():
                found.append("the NFS server does not answer")
            else:
                pids = {guard.spec.name: guard.pid for guard in self._guards}
                self.server.check_tracking(pids.get("nfsdcld"))
        except CommandError as error:
            found.append(error.message)
        return found
