"""An NFS server that is a few variables."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from appliance.nfs.server import Exported, NfsServer
from appliance.settings import Settings


class PlayedServer(NfsServer):
    """Exports what it is told to, and remembers each time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.running = 0
        self.there = Exported()
        self.texts: list[str] = []
        self.held = ""
        self.unserved: list[Path] = []
        self.released: list[Path] = []

    async def threads(self) -> int:
        return self.running

    async def set_threads(self, threads: int) -> None:
        self.running = threads

    def exported(self) -> Exported:
        return self.there

    async def export(self, wanted: Exported, unserved: Collection[Path]) -> None:
        self.there, self.unserved = wanted, list(unserved)
        self.texts.append(wanted.text)

    async def release(self, path: Path) -> None:
        self.released.append(path)

    async def states(self) -> str:
        return self.held
