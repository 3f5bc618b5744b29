"""Handle checks as the supervisor makes them: one at a time for each share, on demand and by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from appliance.checks.messages import Checked, CheckOrder, Found, Progress
from appliance.checks.outcomes import Outcome
from appliance.checks.samples import Sample
from appliance.control.checks import (
    CancelCheck,
    CheckReply,
    CheckReportReply,
    ChecksReply,
    GetCheck,
    ListChecks,
    StartCheck,
)
from appliance.errors import HoldfastError, RequestError, StateError
from appliance.logs import facts
from appliance.model.handles import CheckWanted, HandleCheck, HandleCheckReport, HandleFinding, printable
from appliance.settings import Settings
from appliance.state.check_store import CheckStore
from appliance.state.events import Events
from appliance.state.store import Store
from appliance.supervisor import checker
from appliance.supervisor.check_modes import CheckModes
from appliance.supervisor.check_outcomes import CheckOutcomes
from appliance.supervisor.checker import CheckError
from appliance.supervisor.executor import Executor
from appliance.supervisor.known_samples import samples_of
from appliance.supervisor.share_access import access, over_nfs
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_TICK_SECONDS = 1.0
_LET_GO_SECONDS = 3.0
_MODES_ON_SCHEDULE = ("passive", "evict")


class HandleChecks:
    """Makes checks and keeps what they find. All methods belong to the event loop."""

    def __init__(
        self, settings: Settings, store: Store, results: CheckStore, events: Events, executor: Executor,
        modes: CheckModes,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._store = store
        self._results = results
        self._executor = executor
        self.outcomes = CheckOutcomes(store, results, events, executor)
        self._modes = modes
        self._running: dict[str, tuple[HandleCheck, asyncio.Task[None]]] = {}
        self._one_by_schedule = asyncio.Semaphore(1)

    async def start(self, request: StartCheck) -> CheckReply:
        """Begin a check; raises RequestError."""
        await in_thread(lambda: self._store.share(request.name))
        return CheckReply(check=await self._begin(request.name, request.wanted, "request"))

    async def checks_of(self, request: ListChecks) -> ChecksReply:
        """Return a share's checks, the newest first; raises RequestError `share-not-found`."""
        await in_thread(lambda: self._store.share(request.name))
        found = await in_thread(lambda: self._results.checks(request.name))
        return ChecksReply(checks=tuple(self._now(check) for check in found))

    async def get(self, request: GetCheck) -> CheckReportReply:
        """Return one check with its findings; raises RequestError `check-not-found`."""
        report = await in_thread(lambda: self._results.report(request.name, request.id))
        return CheckReportReply(report=HandleCheckReport(**dict(self._now(report)), findings=report.findings))

    async def cancel(self, request: CancelCheck) -> None:
        """End a check that runs; nothing happens if it has ended. Raises RequestError `check-not-found`."""
        await in_thread(lambda: self._results.report(request.name, request.id))
        running = self._running.get(request.name)
        if running is not None and running[0].id == request.id:
            await _end(running[1])

    async def let_go(self, share: str) -> None:
        """End what looks at a share, which is about to be unmounted."""
        running = self._running.get(share)
        if running is not None and running[1] is not asyncio.current_task():
            # Not for ever: it may have to wait for whoever unmounts the share to put its exports in order again.
            running[1].cancel()
            await asyncio.wait([running[1]], timeout=_LET_GO_SECONDS)

    async def run(self) -> None:
        """Make checks by the clock. Runs until it is cancelled, and ends what runs then."""
        await in_thread(self._results.abandon_running)
        await self.outcomes.remember()
        try:
            while True:
                for share in list(self._executor.served):
                    await self._begin_due(share)
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            for _, task in list(self._running.values()):
                await _end(task)

    async def _begin_due(self, share: str) -> None:
        served = self._executor.served.get(share)
        if share in self._running or served is None or not served.serving:
            return
        checks = await in_thread(lambda: self._results.checks(share))
        intervals = (self._settings.check_interval, self._settings.evict_interval)
        due = []
        for mode, interval in zip(_MODES_ON_SCHEDULE, intervals, strict=True):
            last = max((check.started for check in checks if check.mode == mode), default=0.0)
            if interval and last + interval <= time.time():
                due.append((last, mode))
        if due and not self._one_by_schedule.locked():
            with contextlib.suppress(HoldfastError):
                await self._begin(share, CheckWanted.model_validate({"mode": min(due)[1]}), "schedule")

    async def _begin(self, share: str, wanted: CheckWanted, trigger: str) -> HandleCheck:
        running = self._running.get(share)
        if running is not None and running[0].trigger == "schedule" and trigger == "request":
            await _end(running[1])  # the clock can wait, a person should not
        if share in self._running:
            raise RequestError(
                f"a check of {share} is running already",
                f"wait for it or cancel it: number {self._running[share][0].id}",
                code="check-running",
            )
        access(self._settings, self._executor, share)
        await self._modes.refuse(share, wanted)
        if share in self._running:  # somebody came while the clients were asked
            raise RequestError(f"a check of {share} is running already", code="check-running")
        check = self._results.begin(share, wanted, trigger)
        task = asyncio.create_task(self._run(check, wanted), name=f"check {check.id} of {share}")
        self._running[share] = (check, task)
        # A task that is cancelled before its first step never enters `_run`, which else tells the end.
        cancelled = check.model_copy(update={"state": "cancelled"})
        task.add_done_callback(lambda _: self._finish(cancelled, ()))
        return check

    async def _run(self, check: HandleCheck, wanted: CheckWanted) -> None:
        share = check.share
        findings: Sequence[HandleFinding] = ()
        ended = check.model_copy(update={"state": "failed", "reason": "the appliance failed to do this"})
        try:
            async with self._one_by_schedule if check.trigger == "schedule" else contextlib.nullcontext():
                done = await self._check(check, wanted)
            findings = sorted(map(_finding, done.found), key=lambda finding: finding.outcome is not Outcome.DRIFT)
            ended = self._now(check).model_copy(
                update={"state": "done", "counts": done.counts, "seconds": done.seconds, "reason": "", "hint": "",
                        "done": sum(done.counts.values()), "total": sum(done.counts.values())}
            )  # fmt: skip
            await self._keep(share, done, wanted)
        except asyncio.CancelledError:
            ended = self._now(check).model_copy(update={"state": "cancelled"})
            raise
        except HoldfastError as error:
            ended = self._now(check).model_copy(
                update={"state": "failed", "reason": error.message, "hint": error.hint}
            )
        except Exception:  # noqa: BLE001 - a defect here must not end the supervisor
            _LOG.exception("a check failed", share=share)
        finally:
            self._finish(ended, findings)

    def _finish(self, ended: HandleCheck, findings: Sequence[HandleFinding]) -> None:
        """Keep and tell what became of a check, the first time that this is said of it."""
        running = self._running.get(ended.share)
        if running is None or running[0].id != ended.id:
            return
        del self._running[ended.share]
        ended = ended.model_copy(update={"finished": time.time()})
        try:
            self._results.finish(ended, findings)
        except StateError as error:
            _LOG.error("the result of a check cannot be kept", share=ended.share, reason=error.message)
        self.outcomes.tell(ended, findings)

    async def _check(self, check: HandleCheck, wanted: CheckWanted) -> Checked:
        share = check.share
        async with self._modes.prepared(share, wanted):
            record = await in_thread(lambda: self._store.share(share))
            reached = access(self._settings, self._executor, share)
            way = over_nfs(self._settings, self._executor, share) if wanted.mode == "nfs" else None
            revoked = await in_thread(lambda: self._store.revoked_keys(record.identity.fsid))
            order = CheckOrder(
                share=reached.model_copy(update={"revoked": revoked}),
                samples=tuple(await in_thread(lambda: samples_of(self._store, self._results, share, reached.fsid))),
                capacity=self._settings.check_samples,
                evict=wanted.mode == "evict",
                nfs=way,
            )
            async for answer in checker.ask(order, self._settings.check_patience):
                match answer:
                    case Progress(done=done, total=total):
                        task = self._running[share][1]
                        self._running[share] = (check.model_copy(update={"done": done, "total": total}), task)
                    case Checked():
                        return answer
        raise CheckError("the checker ended without a result", "its output is in the log")

    async def _keep(self, share: str, done: Checked, wanted: CheckWanted) -> None:
        drifted = {found.sample for found in done.found if found.outcome is Outcome.DRIFT}
        samples: Sequence[Sample] = done.samples
        kept = samples
        if wanted.forget_drift:
            kept = [sample for sample in samples if sample not in drifted]
        await in_thread(lambda: self._results.replace_samples(share, kept))

    def _now(self, check: HandleCheck) -> HandleCheck:
        """Return a check with how far it is."""
        running = self._running.get(check.share)
        if running is None or running[0].id != check.id:
            return HandleCheck(**{name: getattr(check, name) for name in HandleCheck.model_fields})
        return running[0]

def _finding(found: Found) -> HandleFinding:
    sample = found.sample
    return HandleFinding(
        outcome=found.outcome,
        drift=found.drift,
        reason=found.reason,
        path=printable(sample.path),
        path_now=None if found.path is None else printable(found.path),
        inode=sample.inode,
        type=sample.type,
        handle=sample.handle.data.hex(),
        native=sample.native.data.hex(),
        taken=sample.taken,
    )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
