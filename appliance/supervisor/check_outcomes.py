"""What becomes of a check's result: events, counts, and the share's health."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.checks.outcomes import Outcome
from appliance.control.checks import ShareNumbers
from appliance.logs import facts
from appliance.model.handles import HandleCheck, HandleFinding, HandleHealth
from appliance.state.check_store import CheckStore
from appliance.state.events import Events
from appliance.state.store import Store
from appliance.supervisor.executor import Executor
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_TOLD = 100  # drifted handles of one check that become events


class CheckOutcomes:
    """Keeps count of what checks found. All methods belong to the event loop."""

    def __init__(self, store: Store, results: CheckStore, events: Events, executor: Executor) -> None:
        self._store = store
        self._results = results
        self._events = events
        self._executor = executor
        self._drifts: dict[str, int] = {}
        self._finished: dict[str, int] = {}

    def tell(self, check: HandleCheck, findings: Sequence[HandleFinding]) -> None:
        """Make a check that has ended known to whom it concerns."""
        share = check.share
        self._finished[share] = self._finished.get(share, 0) + (check.state == "done")
        if check.state == "failed":
            _LOG.error("a check could not be made", share=share, mode=check.mode, reason=check.reason)
            self._events.add("handle-check-failed", check.reason, share, {"check": check.id, "mode": check.mode})
            return
        drifted = [finding for finding in findings if finding.outcome is Outcome.DRIFT]
        for finding in drifted[:_TOLD]:
            _LOG.error("a handle drifted", share=share, path=finding.path, drift=finding.drift, reason=finding.reason)
            data = {"check": check.id, "drift": finding.drift, "path": finding.path, "handle": finding.handle}
            self._events.add("handle-drift", f"{finding.path or '/'}: {finding.reason}", share, data)
        self._drifts[share] = self._drifts.get(share, 0) + check.drifted
        if check.state == "done":
            counts = _named(check.counts)
            _LOG.info("handles were checked", share=share, mode=check.mode, seconds=check.seconds, **counts)
            self._assess(share, check, drifted[0] if drifted else None)

    def _assess(self, share: str, check: HandleCheck, drift: HandleFinding | None) -> None:
        """Make the share's health what its last check says."""
        old = self._executor.health.get(share, HandleHealth())
        bad = check.drifted and not check.forgotten
        place = f", {drift.path or 'its root'} for one: {drift.reason}" if drift else ""
        status = "drift" if bad else "silent" if old.status == "silent" else "ok"
        reason = f"{check.drifted} handles have drifted{place}" if bad else old.reason if status == "silent" else ""
        self._executor.health[share] = HandleHealth.model_validate(
            {**dict(old), "status": status, "reason": reason, "checked": check.finished,
             "samples": sum(check.counts.values())}
        )  # fmt: skip

    async def remember(self) -> None:
        """Take up what the last run of the appliance found: it still holds."""
        for record in await in_thread(self._store.shares):
            checks = await in_thread(lambda name=record.share.name: self._results.checks(name))  # type: ignore[misc]
            last = next((check for check in checks if check.state == "done"), None)
            if last is not None:
                report = self._results.report(last.share, last.id)
                drift = next((one for one in report.findings if one.outcome is Outcome.DRIFT), None)
                self._assess(last.share, last, drift)

    async def numbers(self) -> list[ShareNumbers]:
        """Return what is counted of every share."""
        found = []
        for record in await in_thread(self._store.shares):
            name = record.share.name
            checks = await in_thread(lambda name=name: self._results.checks(name))  # type: ignore[misc]
            last = {check.mode: check for check in reversed(checks) if check.state == "done"}
            health = self._executor.health.get(name, HandleHealth())
            found.append(
                ShareNumbers(
                    share=name,
                    health=health,
                    last=tuple(last.values()),
                    drifts=self._drifts.get(name, 0),
                    checks=self._finished.get(name, 0),
                )
            )
        return found


def _named(counts: dict[Outcome, int]) -> dict[str, int]:
    return {outcome.value: count for outcome, count in counts.items()}
