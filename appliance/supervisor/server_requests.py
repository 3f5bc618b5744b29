"""Answering the API about the NFS server's settings. The number of threads takes effect at once, the rest at a start.

The kernel takes versions, lease and grace only while the server has no threads (EBUSY), and lets go of an address only
with all of them; the ports are arguments of daemons. To end the server takes from every client what it holds, until it
has reclaimed that: an administrator decides when, and `restart_needed` tells what waits for it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from appliance.control import Reply
from appliance.control_server_settings import GetServer, ServerReply, ServerRequest, ServerView
from appliance.logs import facts
from appliance.model.server import ServerSettings
from appliance.server_settings import effective, restart_needed, told
from appliance.settings import Settings
from appliance.store import Store
from appliance.supervisor.changes import Changes, check_match
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


class ServerRequests:
    """Tells and changes the settings."""

    def __init__(
        self, environment: Settings, started: Settings, store: Store, changes: Changes, reconciler: Reconciler
    ) -> None:
        """`environment` is what the environment says, `started` what was in force at the start."""
        self._environment = environment
        self._started = started
        self._store = store
        self._changes = changes
        self._reconciler = reconciler

    async def answer(self, request: ServerRequest) -> Reply:
        """Do what is asked and return the reply; raises HoldfastError, and then nothing has changed."""
        async with self._changes.turn():
            wanted = await in_thread(self._store.server)
            if isinstance(request, GetServer):
                return self._reply(wanted)
            check_match(request.match, revision(wanted), "the NFS server")
            wanted = request.changes.apply(wanted)
            settings = effective(self._environment, wanted)
            await in_thread(lambda: self._store.set_server(wanted))
            _LOG.info("the NFS server's settings were changed", fields=sorted(request.changes.model_fields_set))
            self._reconciler.settings = self._started.model_copy(update={"nfs_threads": settings.nfs_threads})
            await self._reconciler.attempt()
            return self._reply(wanted)

    def restart_needed(self) -> tuple[str, ...]:
        """Return which settings take effect at the next start. Blocks for milliseconds."""
        return self._later(self._store.server())

    def _later(self, wanted: ServerSettings) -> tuple[str, ...]:
        return restart_needed(self._environment, self._started, wanted)

    def _reply(self, wanted: ServerSettings) -> Reply:
        new, later = told(effective(self._environment, wanted)), self._later(wanted)
        view = {**new, "set": wanted, "restart_needed": later, "revision": revision(wanted)}
        return ServerReply(server=ServerView.model_validate(view))


def in_force(store: Store, run_dir: Path, *, again: bool) -> ServerSettings:
    """Return what of the stored settings is in force in this container: those of its start, but for the threads.

    A supervisor that comes `again`, after its predecessor has died, finds the NFS server as that one has started it.
    """
    wanted, path = store.server(), run_dir / "server-in-force"
    if not again or (known := _known(path)) is None:
        path.write_text(wanted.model_dump_json())
        return wanted
    return known.model_copy(update={"threads": wanted.threads})


def _known(path: Path) -> ServerSettings | None:
    try:
        return ServerSettings.model_validate_json(path.read_text())
    except (OSError, ValueError):  # a supervisor of an earlier release kept no such file
        return None


def revision(wanted: ServerSettings) -> str:
    """Return what differs whenever the settings do."""
    return hashlib.blake2b(wanted.model_dump_json().encode(), digest_size=8).hexdigest()
