"""What is told of shares: the stored part, joined with how it is doing."""

from __future__ import annotations

import asyncio

from appliance.control.messages import NfsPaths, Readiness, ShareState, ShareView
from appliance.model.handles import HandleHealth
from appliance.settings import Settings
from appliance.state.records import ShareRecord
from appliance.supervisor.executor import Executor
from appliance.supervisor.reconciler import NFS

_HINT = "GET /v1/shares/NAME/handle-checks has the findings; GET /v1/events what happened and when"


async def view(settings: Settings, executor: Executor, record: ShareRecord) -> ShareView:
    """Return a share with its state."""
    share = record.share
    version_3 = str(settings.mountpoint(share.export_path)) if settings.nfs_v3 else None
    paths = NfsPaths(v4=share.export_path, v3=version_3)
    return ShareView(
        **{name: getattr(share, name) for name in type(share).model_fields},
        owner=record.owner,
        revision=record.revision,
        fsid=record.identity.fsid,
        nfs_paths=paths,
        state=await state(executor, record),
    )


async def state(executor: Executor, record: ShareRecord) -> ShareState:
    """Return how a share is doing, whatever stands in its way first."""
    name = record.share.name
    if not record.share.enabled:
        return ShareState(status="disabled")
    served = executor.served.get(name)
    if missing := executor.missing.get(name):
        found = await served.state() if served else ShareState(status="unhealthy")
        wrong = {"status": "unhealthy", "reason": missing.error.message, "hint": missing.error.hint}
        return found.model_copy(update=wrong)
    if served is None:
        fault = executor.faults.get(name)
        if fault is None:
            return ShareState(status="starting", reason="it is not mounted yet")
        return ShareState(status="failed", reason=fault.error.message, hint=fault.error.hint)
    health = executor.health.get(name, HandleHealth())
    found = (await served.state()).model_copy(update={"handles": health})
    for key, status in ((NFS, "failed"), (name, "degraded")):
        if found.status == "ok" and (fault := executor.faults.get(key)):
            found = found.model_copy(update={"status": status, "reason": fault.error.message, "hint": fault.error.hint})
    if found.status in ("ok", "degraded") and health.status in ("drift", "silent"):
        return found.model_copy(update={"status": "unhealthy", "reason": health.reason, "hint": _HINT})
    return found


async def readiness(executor: Executor, records: list[ShareRecord], nfs_problems: list[str]) -> Readiness:
    """Return whether all that should be served is served."""
    enabled = [record for record in records if record.share.enabled]
    problems = list(nfs_problems)
    if fault := executor.faults.get(NFS):
        problems.append(fault.error.message)
    in_force = await executor.in_force(enabled)
    ready = 0
    for record, found in zip(enabled, await asyncio.gather(*(state(executor, each) for each in enabled)), strict=True):
        # A share that has lost a worker is degraded, but served while the worker is replaced.
        if found.status in ("ok", "degraded") and record.share.name in in_force:
            ready += 1
        else:
            problems.append(f"share {record.share.name}: {found.reason or 'not mounted and exported'}")
    return Readiness(
        ready=not problems,
        nfs=not nfs_problems,
        shares_enabled=len(enabled),
        shares_ready=ready,
        problems=tuple(problems),
    )
