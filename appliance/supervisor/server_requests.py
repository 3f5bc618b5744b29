"""Answering the API about the NFS server's settings, which take effect at once.

The kernel takes versions, lease and grace only while the server has no threads (EBUSY), and lets go of an address only
with all of them; the ports are arguments of daemons. So for all but the number of threads the server is started anew:
its clients wait, and reclaim what they hold, as at a start of the container. A rehearsal tells whether that would be.
"""

from __future__ import annotations

import errno
import hashlib
import socket
from pathlib import Path

from appliance.control.messages import Reply
from appliance.control.server_settings import GetServer, ServerReply, ServerRequest, ServerView
from appliance.errors import HoldfastError, RequestError, StateError
from appliance.linux import files
from appliance.logs import facts
from appliance.model.server import ServerSettings
from appliance.settings import Settings
from appliance.state.server_settings import effective, starting_anew, told
from appliance.state.store import Store
from appliance.supervisor.changes import Changes, check_match
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


class ServerRequests:
    """Tells and changes the settings."""

    def __init__(
        self, environment: Settings, store: Store, changes: Changes, reconciler: Reconciler, nfs_side: NfsSide
    ) -> None:
        """`environment` is what the environment says."""
        self._environment = environment
        self._store = store
        self._changes = changes
        self._reconciler = reconciler
        self._nfs_side = nfs_side

    async def answer(self, request: ServerRequest) -> Reply:
        """Do what is asked and return the reply; raises HoldfastError, and then nothing has changed."""
        async with self._changes.turn():
            there = await in_thread(self._store.server)
            if isinstance(request, GetServer):
                return self._reply(there)
            check_match(request.match, revision(there), "the NFS server")
            wanted = request.changes.apply(there)
            anew = self._checked(wanted)
            if not request.dry_run:
                await self._change(there, wanted)
                _LOG.info("the NFS server's settings were changed", fields=sorted(request.changes.model_fields_set))
            return self._reply(wanted, anew)

    async def settle(self) -> None:
        """Have the server run with what is stored, after a predecessor that died while it changed that."""
        async with self._changes.turn():
            there = await in_thread(self._store.server)
            if starting_anew(self._nfs_side.settings, effective(self._environment, there)):
                await self._return_to(there)

    async def _change(self, there: ServerSettings, wanted: ServerSettings) -> None:
        """Change the server and then what is stored: so no start of the container finds what does not work."""
        try:
            await self._run_with(wanted)
            await in_thread(lambda: self._store.set_server(wanted))
        except (HoldfastError, OSError) as error:
            _LOG.error("the NFS server returns to the settings it had", reason=error)
            await self._return_to(there)
            if isinstance(error, OSError):
                raise StateError(f"a file cannot be written: {error}", "make room, or make it writable") from error
            raise

    async def _run_with(self, wanted: ServerSettings) -> None:
        settings = effective(self._environment, wanted)
        if starting_anew(self._nfs_side.settings, settings):
            await in_thread(lambda: _note(wanted, settings.run_dir))
            await self._reconciler.restart_server(self._nfs_side, settings)
        else:
            self._reconciler.settings = settings
            await self._reconciler.attempt()

    async def _return_to(self, there: ServerSettings) -> None:
        """Have the server run with what is stored; what fails of that is logged, kept as a fault and tried again."""
        settings = effective(self._environment, there)
        try:
            if starting_anew(self._nfs_side.settings, settings):
                await self._reconciler.restart_server(self._nfs_side, settings, patient=True)
            # Only now: whoever comes after a death before this finds a note that differs, and settles it.
            await in_thread(lambda: _note(there, settings.run_dir))
        except (HoldfastError, OSError) as error:
            _LOG.error("the NFS server has not returned yet", reason=error)
        self._reconciler.settings = settings
        await self._reconciler.attempt()

    def _checked(self, wanted: ServerSettings) -> tuple[str, ...]:
        """Return for which settings the server has to be started anew; raises RequestError."""
        settings = effective(self._environment, wanted)
        anew = starting_anew(self._nfs_side.settings, settings)
        if "addresses" in anew:  # rpc.nfsd goes on without those that it cannot have
            for address in settings.nfs_addresses:
                _check_address(str(address))
        return anew

    def _reply(self, wanted: ServerSettings, anew: tuple[str, ...] = ()) -> Reply:
        new = told(effective(self._environment, wanted))
        view = {**new, "set": wanted, "started_anew_for": anew, "revision": revision(wanted)}
        return ServerReply(server=ServerView.model_validate(view))


def in_force(store: Store, run_dir: Path, *, again: bool) -> ServerSettings:
    """Return what of the stored settings is in force in this container: those of its start, but for the threads.

    A supervisor that comes `again`, after its predecessor has died, finds the NFS server as that one has started it.
    """
    wanted = store.server()
    if not again or (known := _known(run_dir)) is None:
        _note(wanted, run_dir)
        return wanted
    return known.model_copy(update={"threads": wanted.threads})


def _note(wanted: ServerSettings, run_dir: Path) -> None:
    files.replace(run_dir / "server-in-force", wanted.model_dump_json().encode())


def _known(run_dir: Path) -> ServerSettings | None:
    try:
        return ServerSettings.model_validate_json((run_dir / "server-in-force").read_text())
    except (OSError, ValueError):  # a supervisor of an earlier release kept no such file
        return None


def _check_address(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        raise RequestError(
            f"addresses: {address} cannot be listened on: {errno.errorcode.get(error.errno or 0, error)}",
            "name addresses that the appliance's own network has; `ip address` in the container lists them",
            code="address-missing",
            field="addresses",
        ) from None


def revision(wanted: ServerSettings) -> str:
    """Return what differs whenever the settings do."""
    return hashlib.blake2b(wanted.model_dump_json().encode(), digest_size=8).hexdigest()
