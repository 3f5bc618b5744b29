"""The supervisor's own parts over real FUSE mounts, in the test's process; only the NFS server is played."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from appliance.check_store import CheckStore
from appliance.control import CreateShare
from appliance.control_checks import CheckReply, CheckReportReply, GetCheck, StartCheck
from appliance.database import Database
from appliance.events import Events
from appliance.fuse.fd_store import NoFdStore
from appliance.handles import CheckWanted, HandleCheckReport, Mode
from appliance.model import Client, Share
from appliance.settings import Settings
from appliance.store import Store
from appliance.supervisor.access import Access
from appliance.supervisor.canary import Canaries
from appliance.supervisor.changes import Changes
from appliance.supervisor.check_modes import CheckModes
from appliance.supervisor.configuration import Configuration
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.decoding import Decoding
from appliance.supervisor.desk import Desk
from appliance.supervisor.drift import Drift
from appliance.supervisor.executor import Executor
from appliance.supervisor.fuse_path import FuseDataPath
from appliance.supervisor.handle_checks import HandleChecks
from appliance.supervisor.health import Health
from appliance.supervisor.numbers import Numbers
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.requests import Requests
from appliance.supervisor.server_requests import ServerRequests
from appliance.supervisor.sessions import Sessions
from appliance.supervisor.shares_file import SharesFile
from appliance.supervisor.source_watch import SourceWatch
from appliance.tokens import Tokens
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
                "canary_interval": 0, "check_samples": 200, **settings,
            }
        )
        self.server = server(self.settings)
        self.store = Store(self.settings.database)
        self.database = Database(self.settings.database)
        self.results, self.events = CheckStore(self.database), Events(self.database)
        data_path = data_path or FuseDataPath(NoFdStore(), {})
        self.executor = Executor(self.settings, self.server, data_path, lambda: self.reconciler.wake())
        self.reconciler = Reconciler(self.settings, self.store, self.executor, Drift(self.events))
        side = PlayedSide(self.server)
        self.changes = Changes(self.settings, self.store, self.executor, self.reconciler, data_path)
        requests = Requests(self.settings, self.store, self.executor, self.changes, side)
        modes = CheckModes(self.settings, self.executor, self.reconciler, self.server)
        self.checks = HandleChecks(self.settings, self.store, self.results, self.events, self.executor, modes)
        self.canaries = Canaries(self.settings, self.store, self.results, self.events, self.executor)
        self.sources = SourceWatch(self.executor, self.events, (), self.reconciler.wake)
        decoding = Decoding(self.settings, self.store, self.executor)
        self.file = SharesFile(self.settings, self.changes, self.events)
        configuration = Configuration(self.changes, self.file)
        sessions = Sessions(self.settings, self.store, self.executor, self.server)
        numbers = Numbers(self.executor, self.checks, sessions, self.server, lambda: {"api": 1})
        access = Access(Tokens(self.database, self.store.changing))
        server_requests = ServerRequests(self.settings, self.settings, self.store, self.changes, self.reconciler)
        health = Health(self.store, self.executor, side, self.events, server_requests.restart_needed)
        self.desk = Desk(
            requests, configuration, server_requests, self.checks, decoding, access, sessions, numbers, health,
            self.events,
        )

        async def let_go(share: str) -> None:
            await self.canaries.let_go(share)
            await self.checks.let_go(share)

        self.executor.letting_go = let_go

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
