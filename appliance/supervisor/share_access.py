"""How a checker reaches a share that is served."""

from __future__ import annotations

from appliance.checks.messages import ShareAccess
from appliance.errors import RequestError
from appliance.fuse.codecs.choice import Kind
from appliance.settings import Settings
from appliance.supervisor.executor import Executor


def access(settings: Settings, executor: Executor, name: str) -> ShareAccess:
    """Return it; raises RequestError `share-not-served`."""
    served = executor.served.get(name)
    source = served.source if served else None
    if served is None or source is None:
        raise RequestError(
            f"{name} is not served now", "GET /v1/shares tells why", code="share-not-served", field="name"
        )
    identity = served.wanted.identity
    table = settings.state_dir / "tables" / f"{identity.fsid}.db"
    return ShareAccess(
        name=name,
        mountpoint=str(served.wanted.mountpoint(settings.exports_dir)),
        source=source,
        codec=identity.codec,
        table=str(table) if identity.codec.kind is Kind.TABLE else "",
        key=identity.key,
        fsid=identity.fsid,
    )
