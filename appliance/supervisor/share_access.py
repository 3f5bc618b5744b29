"""How a checker reaches a share that is served."""

from __future__ import annotations

from appliance.checks.messages import OverNfs, ShareAccess
from appliance.errors import RequestError
from appliance.fuse.codecs.choice import Kind
from appliance.model import Client
from appliance.settings import Settings
from appliance.supervisor.executor import Executor

OURSELVES = Client(host="127.0.0.77", access="ro", squash="none")
"""As whom the appliance itself reads a share over NFS. Nobody else calls from there: with the host's network 127.0.0.1
is a client like others, and has an entry of its own."""


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


def over_nfs(settings: Settings, executor: Executor, name: str) -> OverNfs:
    """Return how a checker reaches a share, which is served and exported to OURSELVES, as a client does."""
    path = executor.served[name].wanted.path
    return OverNfs(port=settings.nfs_port, path=path, caller=OURSELVES.address)
