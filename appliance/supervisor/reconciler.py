"""Reconciling: one function that makes what is into what shall be, at the start, after each change, on each loss."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from dataclasses import replace

from appliance.errors import HoldfastError, MountError, StateError
from appliance.fuse.caching import Caching
from appliance.logs import facts
from appliance.nfs.exports import Export
from appliance.settings import Settings
from appliance.state.records import ShareRecord
from appliance.state.server_settings import threads
from appliance.state.store import Store
from appliance.supervisor.drift import Drift
from appliance.supervisor.executor import Executor
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.plan import Desired, Wanted, plan
from appliance.supervisor.share_access import OURSELVES
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
NFS = ""
"""The name under which the executor keeps the NFS server's own faults."""


class Reconciler:
    """Runs the plan, one run at a time, and again when a failure's next try is due."""

    def __init__(self, settings: Settings, store: Store, executor: Executor, drift: Drift) -> None:
        self.settings = settings
        self._store = store
        self._executor = executor
        self._drift = drift
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self.read_locally: set[str] = set()
        """Shares that the appliance itself may read over NFS, to see what clients see."""
        self._withheld: set[str] = set()

    def wake(self) -> None:
        """Have `run` reconcile soon."""
        self._wake.set()

    async def reconcile(self) -> None:
        """Make what is into what the store says. Raises what the NFS server raises; shares' failures are kept."""
        async with self._lock:
            records = [await self._identified(record) for record in await in_thread(self._store.shares)]
            wanted = self._desired(records)
            await self._executor.await_lost(records)
            actions = plan(wanted, await self._executor.observe())
            await self._drift.note(wanted, actions)
            self._drift.reached(None)
            await self._executor.execute(actions)
            if (seen := self._desired(records)) != wanted:  # a source was not there
                wanted = seen
                await self._towards(wanted)
            self._executor.note_left_out(wanted.exports)
            self._executor.faults.pop(NFS, None)
            self._drift.reached(None if self._executor.faults else wanted)

    async def attempt(self) -> None:
        """Reconcile, and remember instead of raising what the NFS server raises; `run` tries it again later."""
        await self._attempt()
        self.wake()  # `run` does not know yet when the next try is due

    async def remount(self, name: str, *, revoke: bool) -> None:
        """Take a share out of service and mount and export it anew. Its clients wait; raises HoldfastError.

        `revoke` ends what NFSv4 clients hold on it, which would keep the mount.
        """
        self._withheld.add(name)
        try:
            await self.reconcile()  # the kernel lets go of the share, and is given no answer about it
            async with self._lock:
                await self._executor.withdraw(name, revoke=revoke)
        finally:
            self._withheld.discard(name)
            await self.reconcile()
        if name not in self._executor.served:
            raise MountError(f"{name} did not come back", "GET /v1/shares tells why")

    async def restart_server(self, nfs_side: NfsSide, settings: Settings, *, patient: bool = False) -> None:
        """Start the NFS server anew with other settings. Its clients wait; the shares' mounts stay.

        Raises HoldfastError, and the server may be down then; `patient` is told by `NfsSide.restart`.
        """
        async with self._lock:
            self._drift.reached(None)  # it is us who stop the server
            self.settings = settings
            await nfs_side.restart(settings, patient=patient)
        await self.reconcile()

    async def run(self) -> None:
        """Reconcile whenever there is reason to, and by the clock: nobody says when he unexports or unmounts a share.

        Runs until it is cancelled.
        """
        while True:
            due = min((fault.retry_at for fault in self._executor.faults.values()), default=None)
            by_clock = self.settings.reconcile_interval or None
            patience = by_clock if due is None else max(0.0, due - time.monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            self._wake.clear()
            await self._attempt()

    async def shut_down(self) -> None:
        """Stop the server, unexport and unmount everything. What fails is logged, and the rest goes on."""
        async with self._lock:
            nothing = Desired(self.settings.exports_dir, {}, (), threads=0)
            for _ in range(2):  # the second time without what failed in the first, such as a NFS side that is gone
                try:
                    await self._towards(nothing)
                    return
                except (HoldfastError, OSError) as error:
                    _LOG.error("shutting down in disorder", reason=error)
            for name in list(self._executor.served):
                await self._executor.served.pop(name).close(patience=0)

    async def _attempt(self) -> None:
        try:
            await self.reconcile()
        except HoldfastError as error:
            self._executor.fail(NFS, error)
        except OSError as error:  # a full disk, for instance, under one of the files that are written
            self._executor.fail(NFS, StateError(f"a file cannot be written: {error}", "make room, or make it writable"))

    async def _towards(self, wanted: Desired) -> None:
        await self._executor.execute(plan(wanted, await self._executor.observe()))

    async def _identified(self, record: ShareRecord) -> ShareRecord:
        """Learn what the source of a share from before sources were identified is."""
        if record.identity.source_id is not None or not record.share.enabled:
            return record
        found = await self._executor.identify(record)
        if found is None:
            return record
        try:
            await in_thread(lambda: self._store.learn(record.share.name, found))
        except HoldfastError as error:  # next time; it is served meanwhile
            _LOG.error("what a source is cannot be kept", share=record.share.name, reason=error.message)
        return replace(record, identity=replace(record.identity, source_id=found))

    def _desired(self, records: list[ShareRecord]) -> Desired:
        """Return what the store asks for, as far as the sources are there."""
        self._forget_faults(records)
        executor = self._executor
        impatient = {record.share.name for record in records if record.share.when_source_missing == "unexport"}
        # What was unmounted is held on to, with what clients have open; what is broken is not.
        held = {name for name, missing in executor.missing.items() if name in executor.served and not missing.broken}
        return desired(
            self.settings,
            records,
            self.read_locally,
            self._withheld | executor.missing.keys(),
            unserved=executor.missing.keys() - (held - impatient),
            unexported={name for name in impatient if executor.lacks_source(name)},
        )

    def _forget_faults(self, records: list[ShareRecord]) -> None:
        """What is no longer wanted cannot have failed."""
        wanted = {record.share.name for record in records if record.share.enabled}
        for name in self._executor.faults.keys() - wanted - {NFS}:
            del self._executor.faults[name]
        # Nor is a source missing that the share is not about any more.
        current = {record.share.name: (record.share.source, record.identity) for record in records}
        for name, missing in list(self._executor.missing.items()):
            if name not in wanted or current[name] != (missing.wanted.source, missing.wanted.identity):
                del self._executor.missing[name]


def desired(
    settings: Settings,
    records: list[ShareRecord],
    read_locally: Collection[str] = (),
    withheld: Collection[str] = (),
    unserved: Collection[str] = (),
    unexported: Collection[str] = (),
) -> Desired:
    """Return what the stored shares ask for.

    Some are read by ourselves as well, some withheld from their clients; some not to be mounted, or not exported.
    """
    enabled = [record for record in records if record.share.enabled]
    return Desired(
        root=settings.exports_dir,
        shares={
            record.share.name: Wanted(
                record.share.name,
                record.share.source,
                record.identity,
                record.share.workers or settings.workers,
                record.share.export_path,
                Caching(record.share.caching),
            )
            for record in enabled
            if record.share.name not in unserved
        },
        exports=tuple(
            Export(
                settings.mountpoint(record.share.export_path),
                record.identity.fsid,
                record.share.clients,
                sync=record.share.sync,
                withheld=record.share.name in withheld,
                own=(OURSELVES,) if record.share.name in read_locally else (),
            )
            for record in enabled
            if record.share.name not in unexported
        ),
        threads=threads(settings, sum(record.share.workers or settings.workers for record in enabled)),
    )
