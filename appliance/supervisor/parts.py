"""The parts of a supervisor, put together. Nothing of it runs yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from appliance.settings import Settings
from appliance.state.check_store import CheckStore
from appliance.state.database import Database
from appliance.state.events import Events
from appliance.state.store import Store
from appliance.state.tokens import Tokens
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
from appliance.supervisor.handle_checks import HandleChecks
from appliance.supervisor.health import Health
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.numbers import Numbers
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.refused import recorder
from appliance.supervisor.requests import Requests
from appliance.supervisor.server_requests import ServerRequests
from appliance.supervisor.sessions import Sessions
from appliance.supervisor.shares_file import SharesFile
from appliance.supervisor.source_watch import SourceWatch


@dataclass(frozen=True)
class Ground:
    """What the parts stand on.

    `environment` is the settings before those of the server that the API has changed; `restarts` tells how often each
    child of the supervisor had to be started again.
    """

    environment: Settings
    settings: Settings
    store: Store
    database: Database
    data_path: DataPath
    nfs_side: NfsSide
    restarts: Callable[[], Mapping[str, int]]


@dataclass(frozen=True)
class Parts:
    """What the supervisor runs, and the desk at which it answers."""

    results: CheckStore
    events: Events
    changes: Changes
    executor: Executor
    reconciler: Reconciler
    checks: HandleChecks
    canaries: Canaries
    sources: SourceWatch
    file: SharesFile
    health: Health
    server: ServerRequests
    desk: Desk


def put_together(ground: Ground) -> Parts:
    """Make all parts. What a predecessor has left serving is not touched before `Executor.adopt`."""
    settings, store, nfs_side = ground.settings, ground.store, ground.nfs_side
    results, events = CheckStore(ground.database), Events(ground.database)

    executor = Executor(settings, nfs_side.server, ground.data_path, lost=lambda: reconciler.wake())
    reconciler = Reconciler(settings, store, executor, Drift(events))
    changes = Changes(settings, store, executor, reconciler, ground.data_path)
    file = SharesFile(settings, changes, events)

    modes = CheckModes(settings, executor, reconciler, nfs_side.server)
    checks = HandleChecks(settings, store, results, events, executor, modes)
    canaries = Canaries(settings, store, results, events, executor)
    executor.letting_go = _let_go(canaries, checks)
    executor.refused = recorder(events)

    sessions = Sessions(settings, store, executor, nfs_side.server)
    server = ServerRequests(ground.environment, store, changes, reconciler, nfs_side)
    health = Health(store, executor, nfs_side, events)
    desk = Desk(
        Requests(store, executor, changes, nfs_side),
        Configuration(changes, file),
        server,
        checks,
        Decoding(settings, store, executor),
        Access(Tokens(ground.database, store.changing)),
        sessions,
        Numbers(executor, checks, sessions, nfs_side.server, ground.restarts),
        health,
        events,
    )
    sources = SourceWatch(executor, events, settings.source_roots, reconciler.wake)
    return Parts(results, events, changes, executor, reconciler, checks, canaries, sources, file, health, server, desk)


def _let_go(canaries: Canaries, checks: HandleChecks) -> Callable[[str], Awaitable[None]]:
    async def let_go(share: str) -> None:
        await canaries.let_go(share)
        await checks.let_go(share)  # in the caller's task: a check that has a share mounted anew is not ended by it

    return let_go
