"""Watching over the appliance's health: what is wrong now and since when, with an event when it begins and ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from appliance.control.messages import ShareState
from appliance.errors import HoldfastError
from appliance.logs import facts
from appliance.model.health import Finding, HealthReport, Severity
from appliance.model.numbers import Capacity
from appliance.state.events import Data, Events
from appliance.state.records import ShareRecord
from appliance.state.store import Store
from appliance.supervisor.executor import Executor
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.reconciler import NFS
from appliance.supervisor.threads import in_thread
from appliance.supervisor.views import state

_LOG = facts(__name__)
_INTERVAL_SECONDS = 10.0
_LITTLE_ROOM = 0.05  # of the whole
_ORDER: tuple[Severity, ...] = ("critical", "warning", "info")
_OF_STATUS: dict[str, Severity] = {
    "starting": "info",
    "degraded": "warning",
    "unhealthy": "critical",
    "failed": "critical",
}


@dataclass(frozen=True)
class Seen:
    """Something wrong, as of now."""

    code: str
    severity: Severity
    share: str | None
    message: str
    hint: str = ""

    @property
    def key(self) -> tuple[str, str | None]:
        """What makes it the same finding the next time, however it is put."""
        return self.code, self.share


class Health:
    """Looks at everything now and then, and whenever it is asked."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        nfs_side: NfsSide,
        events: Events,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._executor = executor
        self._nfs_side = nfs_side
        self._events = events
        self._now = now
        self._since: dict[tuple[str, str | None], float] = {}
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look now and then. Runs until it is cancelled."""
        while True:
            try:
                await self.report()
            except HoldfastError as error:
                _LOG.error("health cannot be told", reason=error.message)
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def report(self) -> HealthReport:
        """Return what is wrong now. Raises StateError."""
        async with self._looking:
            seen = {one.key: one for one in await self._look()}
            await self._remember(seen)
            findings = [Finding(**vars(one), since=self._since[key]) for key, one in seen.items()]
        findings.sort(key=lambda one: (_ORDER.index(one.severity), one.since))
        return HealthReport(status=findings[0].severity if findings else "ok", findings=tuple(findings))

    async def _look(self) -> list[Seen]:
        records = await in_thread(self._store.shares)
        problems = await self._nfs_side.problems()
        enabled = [record for record in records if record.share.enabled]
        in_force = await self._executor.in_force(enabled)
        states = await asyncio.gather(*(self._share(record, record.share.name in in_force) for record in enabled))
        unprotected = [
            Seen(code, "critical", None, f"{problem}; shares ask for it, and their clients are refused", hint)
            for code, problem, hint in await self._nfs_side.unprotected([record.share for record in enabled])
        ]
        return [*self._of_server(problems), *unprotected, *(one for found in states for one in found)]

    def _of_server(self, problems: Collection[str]) -> list[Seen]:
        hint = "the log has its output; docker compose restart helps if it does not come back"
        found = [Seen("nfs-side", "critical", None, "; ".join(problems), hint)] if problems else []
        if fault := self._executor.faults.get(NFS):
            found.append(Seen("nfs-server", "critical", None, fault.error.message, fault.error.hint))
        return found

    async def _share(self, record: ShareRecord, in_force: bool) -> list[Seen]:
        name = record.share.name
        found = of_state(name, await state(self._executor, record))
        if not any(one.severity == "critical" for one in found) and not in_force:
            hint = "it is repaired by itself within seconds; GET /v1/events tells what was found"
            reason = "it is not mounted and exported as it should"
            found.append(Seen("share-not-in-force", "critical", name, reason, hint))
        return [*found, *of_capacity(name, self._executor.capacity.get(name))]

    async def _remember(self, seen: dict[tuple[str, str | None], Seen]) -> None:
        """Note what is new and what is over."""
        for key in [key for key in self._since if key not in seen]:
            del self._since[key]
            code, share = key
            _LOG.info("a finding is over", code=code, share=share or "-")
            await self._record("finding-over", f"no longer: {code}", share, {"code": code})
        for key, one in [(key, one) for key, one in seen.items() if key not in self._since]:
            self._since[key] = self._now()
            log = _LOG.info if one.severity == "info" else _LOG.warning
            log("a finding", code=one.code, severity=one.severity, share=one.share or "-", reason=one.message)
            data = {"code": one.code, "severity": one.severity, "hint": one.hint}
            await self._record("finding", one.message, one.share, data)

    async def _record(self, kind: str, message: str, share: str | None, data: Data) -> None:
        await in_thread(lambda: self._events.add(kind, message, share, data))


def of_state(share: str, found: ShareState) -> list[Seen]:
    """Return what a share's state has to be told for."""
    severity = _OF_STATUS.get(found.status)
    return [Seen(f"share-{found.status}", severity, share, found.reason, found.hint)] if severity else []


def of_capacity(share: str, room: Capacity | None) -> list[Seen]:
    """Return whether there is little room on a share's source."""
    found = []
    if room and room.bytes_available < room.bytes_total * _LITTLE_ROOM:
        left = f"{room.bytes_available / 2**20:.0f} of {room.bytes_total / 2**20:.0f} MiB are left on its source"
        found.append(Seen("source-full", "warning", share, left, "remove something, or give it more storage"))
    if room and room.inodes_free < room.inodes_total * _LITTLE_ROOM:
        left = f"{room.inodes_free} of {room.inodes_total} inodes are left on its source"
        found.append(Seen("source-out-of-inodes", "warning", share, left, "remove files"))
    return found
