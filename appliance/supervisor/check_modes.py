"""What a check's mode asks for before handles are opened: new workers, a new mount, an export to ourselves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.errors import RequestError
from appliance.model.handles import CheckWanted
from appliance.nfs.server import NfsServer
from appliance.settings import Settings
from appliance.supervisor import mountinfo
from appliance.supervisor.executor import Executor
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.threads import in_thread

# The kernel writes the inode number as a signed one, and half of our node ids are negative then.
_SUPERBLOCK = re.compile(r'superblock: "([0-9a-f]+):([0-9a-f]+):-?\d+"')


class CheckModes:
    """Prepares a share for a check, and undoes it."""

    def __init__(self, settings: Settings, executor: Executor, reconciler: Reconciler, server: NfsServer) -> None:
        self._settings = settings
        self._executor = executor
        self._reconciler = reconciler
        self._server = server

    async def refuse(self, share: str, wanted: CheckWanted) -> None:
        """Raise RequestError `clients-hold-state` for a mode that would take from clients what they hold."""
        if wanted.mode != "remount" or wanted.force:
            return
        held = await self._held(share)
        if held:
            raise RequestError(
                f"NFSv4 clients hold {held} opens, locks or delegations on {share}, which a remount would take away",
                "wait until they are closed, or force it",
                code="clients-hold-state",
                field="mode",
            )

    @asynccontextmanager
    async def prepared(self, share: str, wanted: CheckWanted) -> AsyncIterator[None]:
        """Do what the mode asks for, and undo what is only for the time of the check. Raises HoldfastError."""
        match wanted.mode:
            case "workers":
                await self._executor.served[share].replace_workers(self._settings.ready_timeout)
            case "remount":
                await self._reconciler.remount(share, revoke=wanted.force)
            case _:
                pass
        if wanted.mode != "nfs":
            yield
            return
        self._reconciler.read_locally.add(share)
        try:
            await self._reconciler.attempt()
            yield
        finally:
            self._reconciler.read_locally.discard(share)
            await self._reconciler.attempt()

    async def _held(self, share: str) -> int:
        """Return how many states NFSv4 clients have on a share's filesystem."""
        served = self._executor.served.get(share)
        if served is None:
            return 0
        path = served.wanted.mountpoint(self._settings.exports_dir)
        device = await in_thread(lambda: mountinfo.device(path))
        return count_states(await self._server.states(), device)


def count_states(text: str, device: tuple[int, int] | None) -> int:
    """Count the lines of nfsd's clients/*/states that are about a filesystem, given by major and minor number."""
    found = (re.search(_SUPERBLOCK, line) for line in text.splitlines())
    return sum((int(match[1], 16), int(match[2], 16)) == device for match in found if match)
