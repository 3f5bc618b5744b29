"""The supervisor's own parts over real FUSE mounts, in the test's process; only the NFS server is played."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from appliance.control.checks import CheckReply, CheckReportReply, GetCheck, StartCheck
from appliance.control.messages import CreateShare
from appliance.fuse.fd_store import NoFdStore
from appliance.model import Client, Share
from appliance.model.handles import CheckWanted, HandleCheckReport, Mode
from appliance.settings import Settings
from appliance.state.database import Database
from appliance.state.store import Store
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.fuse_path import FuseDataPath
from appliance.supervisor.parts import Ground, put_together
from tests.support.played_nfs import PlayedServer, PlayedSide


class Appliance:
    """A supervisor with one share or more, its checks and canaries."""

    def __init__(
        self,
        directory: Path,
        *,
        data_path: DataPath | None = None,
        server: type[PlayedServer] = PlayedServer,
        **settings: object,
    ) -> None:
        """The data path is the real one unless given."""
        for name in ("state", "run", "exports"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "state" / "tables").mkdir(exist_ok=True)
        self.settings = Settings.model_validate(
            {
                "state_dir": directory / "state", "run_dir": directory / "run",
                "exports_dir": directory / "exports", "check_interval": 0, "evict_interval": 0,
                "canary_interval": 0, "check_samples": 200, "source_roots": (Path("/"),), **settings,
            }
        )
        self.server = server(self.settings)
        self.store = Store(self.settings.database)
        self.database = Database(self.settings.database)
        parts = put_together(
            Ground(
                self.settings, self.settings, self.store, self.database, data_path or FuseDataPath(NoFdStore(), {}),
                PlayedSide(self.server), lambda: {"api": 1},
            )
        )
        self.results, self.events, self.changes = parts.results, parts.events, parts.changes
        self.executor, self.reconciler = parts.executor, parts.reconciler
        self.checks, self.canaries, self.sources = parts.checks, parts.canaries, parts.sources
        self.file, self.desk = parts.file, parts.desk

    async def share(self, name: str, source: Path) -> None:
        share = Share(name=name, source=str(source), clients=(Client(host="192.0.2.1"),))
        await self.desk.answer(CreateShare(share=share))

    async def check(self, name: str, mode: Mode = "passive", **more: bool) -> HandleCheckReport:
        """Make a check and wait for its end."""
        wanted = CheckWanted.model_validate({"mode": mode, **more})
        begun = await self.desk.answer(StartCheck(name=name, wanted=wanted))
        assert isinstance(begun, CheckReply)
        while (report := await self.report(name, begun.check.id)).state == "running":
            await asyncio.sleep(0.02)
        return report

    async def report(self, name: str, number: int) -> HandleCheckReport:
        reply = await self.desk.answer(GetCheck(name=name, id=number))
        assert isinstance(reply, CheckReportReply)
        return reply.report


@asynccontextmanager
async def running(directory: Path, **settings: Any) -> AsyncIterator[Appliance]:
    """Run such a supervisor for the time of the block, and take it down in order."""
    appliance = Appliance(directory, **settings)
    parts = (appliance.checks, appliance.canaries, appliance.sources, appliance.reconciler)
    background = [asyncio.create_task(part.run()) for part in parts]
    try:
        await appliance.reconciler.reconcile()
        yield appliance
    finally:
        for task in background:
            task.cancel()
        for task in background:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await appliance.reconciler.shut_down()
        appliance.database.close()
        appliance.store.close()
