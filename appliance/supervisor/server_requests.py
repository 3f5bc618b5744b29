"""Answering the API about the NFS server's settings. The number of threads takes effect at once, the rest at a start.

All else is settled when the server gets its threads or its daemons start: a change in between would be an end of both,
and what clients hold would depend on their reclaiming it.
"""

from __future__ import annotations

import hashlib

from appliance.control import Reply
from appliance.control_server_settings import GetServer, ServerReply, ServerRequest, ServerView
from appliance.logs import facts
from appliance.model.server import ServerSettings
from appliance.server_settings import effective, told
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

    def _reply(self, wanted: ServerSettings) -> Reply:
        new, now = told(effective(self._environment, wanted)), told(self._started)
        later = tuple(name for name in new if name != "threads" and new[name] != now[name])
        view = {**new, "set": wanted, "restart_needed": later, "revision": revision(wanted)}
        return ServerReply(server=ServerView.model_validate(view))


def revision(wanted: ServerSettings) -> str:
    """Return what differs whenever the settings do."""
    return hashlib.blake2b(wanted.model_dump_json().encode(), digest_size=8).hexdigest()
