"""An NFS server and an NFS side that are a few variables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from appliance.errors import CommandError
from appliance.model import Share
from appliance.model.numbers import ServerNumbers
from appliance.nfs import counters
from appliance.nfs.clients import Info, State, parse_info, parse_states
from appliance.nfs.exports import resolved
from appliance.nfs.server import Exported, NfsServer
from appliance.settings import Settings
from appliance.supervisor.nfs_side import NfsSide


class PlayedServer(NfsServer):
    """Exports what it is told to, and remembers each time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.running = 0
        self.restarts = 0
        self.there = Exported()
        self.texts: list[str] = []
        self.held = ""
        self.sessions: dict[int, tuple[str, str]] = {}
        """The texts `info` and `states` of each client."""
        self.mounted: list[tuple[str, str]] = []
        self.unserved: list[Path] = []
        self.released: list[Path] = []
        self.released_exported: list[Path] = []
        """Those among them that were exported still, so that clients could have come back at once."""
        self.broken = ""
        """Why no export can be put in force; empty if it can."""
        self.unresolved = False
        """Whether DNS knows no host name."""

    async def threads(self) -> int:
        return self.running

    async def set_threads(self, threads: int) -> None:
        self.restarts += not threads
        self.running = threads

    def exported(self) -> Exported:
        return self.there

    async def export(self, wanted: Exported, unserved: Collection[Path]) -> None:
        if self.broken:
            raise CommandError(self.broken, "hint")
        pairs = resolved(wanted.pairs) if self.unresolved else wanted.pairs
        self.there, self.unserved = Exported(wanted.text, pairs), list(unserved)
        self.texts.append(wanted.text)

    async def release(self, path: Path) -> None:
        self.released.append(path)
        if str(path) in {exported for exported, _ in self.there.pairs}:
            self.released_exported.append(path)

    async def states(self) -> str:
        return self.held

    async def clients(self) -> dict[int, tuple[Info, list[State]]]:
        return {number: (parse_info(info), parse_states(held)) for number, (info, held) in self.sessions.items()}

    async def numbers(self) -> ServerNumbers:
        return counters.parse(f"th {self.running}")

    async def expire(self, number: int) -> None:
        del self.sessions[number]

    def mounts(self) -> list[tuple[str, str]]:
        return self.mounted


class PlayedSide(NfsSide):
    """An NFS side without processes."""

    server: PlayedServer

    def __init__(self, server: PlayedServer) -> None:
        self.server = server
        self.settings = server.settings
        self.refused: Callable[[Settings], bool] = lambda _: False
        """With which settings no daemon starts."""

    async def restart(self, settings: Settings, *, patient: bool = False) -> None:
        await self.server.set_threads(0)
        self.settings = self.server.settings = settings
        if self.refused(settings) and not patient:
            raise CommandError("rpc.mountd does not become ready")

    async def problems(self) -> list[str]:
        return [] if self.server.running else ["down"]

    async def unprotected(self, _shares: Sequence[Share]) -> list[tuple[str, str, str]]:
        return []
