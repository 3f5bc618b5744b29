"""The NFS server's settings: set while the appliance runs, kept, and in force at once or at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from appliance.control import Reply
from appliance.control_server_settings import GetServer, ServerReply, ServerView, UpdateServer
from appliance.errors import RequestError
from appliance.model.server import ServerChanges, ServerSettings
from appliance.nfs import daemons
from appliance.server_settings import effective, threads
from appliance.settings import Settings
from appliance.store import Store
from appliance.supervisor.health import Health
from appliance.supervisor.server_requests import ServerRequests, in_force
from tests.support.played_nfs import PlayedSide
from tests.support.played_supervisor import Supervisor
from tests.unit.test_api import anonymous, client, error, supervisor
from tests.unit.test_supervisor_requests import Appliance, running

__all__ = ["anonymous", "client", "supervisor"]  # fixtures


def view(reply: Reply) -> ServerView:
    assert isinstance(reply, ServerReply)
    return reply.server


Body = Callable[[Appliance, ServerRequests], Awaitable[None]]


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Body], None]:
    async def run(body: Body) -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            settings = appliance.settings
            requests = ServerRequests(settings, settings, appliance.store, appliance.changes, appliance.reconciler)
            await body(appliance, requests)

    return lambda body: asyncio.run(run(body))


def test_threads_change_at_once_and_nothing_else_does(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        await appliance.create("a")
        log = list(appliance.path.log)
        assert appliance.server.running == 8
        told = view(await requests.answer(UpdateServer(changes=ServerChanges(threads=20, lease=15))))
        assert (told.threads, told.lease, told.restart_needed) == (20, 15, ("lease",))
        assert appliance.server.running == 20
        told = view(await requests.answer(UpdateServer(changes=ServerChanges(threads=None))))
        assert (told.threads, told.lease) == (8, 15)
        assert appliance.server.running == 8
        assert appliance.server.restarts == 0
        assert appliance.path.log == log
        again = Store(appliance.settings.database)
        assert again.server() == ServerSettings(lease=15)
        again.close()

    act(body)


def test_what_waits_for_a_start_is_a_finding_until_it_is_taken_back(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        side = PlayedSide(appliance.server)
        health = Health(appliance.store, appliance.executor, side, appliance.events, requests.restart_needed)

        async def findings(**changes: object) -> list[tuple[str, str, str]]:
            await requests.answer(UpdateServer(changes=ServerChanges.model_validate(changes)))
            return [(one.code, one.severity, one.message) for one in (await health.report()).findings]

        assert await findings(threads=20) == []
        assert await findings(mountd_port=5000) == []  # NFSv3 is off: nobody asks there
        ((code, severity, message),) = await findings(lease=12, addresses=("192.0.2.1",))
        assert (code, severity) == ("restart-needed", "info")
        assert message.endswith("lease, addresses")
        ((code, severity, message),) = await findings(lease=None, addresses=None, versions=("3", "4.1"))
        assert message.endswith("versions, mountd_port")
        assert await findings(versions=None, mountd_port=None) == []

    act(body)


def test_a_supervisor_that_comes_again_knows_what_the_server_was_started_with(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    store.set_server(ServerSettings(lease=15, threads=4))
    assert in_force(store, tmp_path, again=False) == ServerSettings(lease=15, threads=4)
    store.set_server(ServerSettings(lease=20, threads=6))
    assert in_force(store, tmp_path, again=True) == ServerSettings(lease=15, threads=6)
    assert in_force(store, tmp_path, again=False) == ServerSettings(lease=20, threads=6)
    (tmp_path / "server-in-force").write_text("not JSON")
    assert in_force(store, tmp_path, again=True) == ServerSettings(lease=20, threads=6)
    store.close()


def test_automatic_threads_follow_the_workers(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        await requests.answer(UpdateServer(changes=ServerChanges(threads="auto")))
        before = appliance.server.running
        await appliance.create("a", workers=60)
        assert appliance.server.running > before

    act(body)


@pytest.mark.parametrize(("workers", "processors", "expected"), [(0, 1, 8), (10, 4, 18), (4000, 64, 256), (4, None, 8)])
def test_how_many_threads_are_automatic(workers: int, processors: int | None, expected: int) -> None:
    assert threads(Settings(nfs_threads="auto"), workers, processors) == expected
    assert threads(Settings(nfs_threads=3), workers, processors) == 3


def test_settings_that_do_not_fit_one_another_are_refused_and_not_kept(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        with pytest.raises(RequestError, match="nfs_grace"):
            await requests.answer(UpdateServer(changes=ServerChanges(lease=100)))
        assert appliance.store.server() == ServerSettings()
        revision = view(await requests.answer(GetServer())).revision
        await requests.answer(UpdateServer(changes=ServerChanges(lease=100, grace=100), match=(revision,)))
        with pytest.raises(RequestError) as caught:
            await requests.answer(UpdateServer(changes=ServerChanges(lease=20), match=(revision,)))
        assert caught.value.code == "revision-changed"

    act(body)


def test_what_is_set_is_what_the_server_is_started_with() -> None:
    wanted = ServerSettings(
        versions=("4.1", "3"), lease=11, grace=12, addresses=("192.0.2.1", "2001:db8::1"), mountd_port=5, statd_port=6
    )
    settings = effective(Settings(), wanted)
    assert daemons.nfsd(settings, 4) == [
        *("rpc.nfsd", "-V", "3", "-N", "4.0", "-V", "4.1", "-N", "4.2"),
        *("-H", "127.0.0.1", "-H", "192.0.2.1", "-H", "2001:db8::1", "-G", "12", "-L", "11", "-p", "2049", "4"),
    ]
    argv = {spec.name: spec.argv for spec in daemons.daemons(settings)}
    assert argv["rpc.mountd"][-1] == "5"
    assert argv["rpc.statd"][-1] == "6"
    assert effective(Settings(), ServerSettings()) == Settings()


@pytest.mark.parametrize(
    "bad",
    [{"versions": ["4.2"]}, {"versions": ["4.1", "4.1"]}, {"versions": ["4.0", "4.1"]}, {"threads": 0},
     {"threads": "all"}, {"lease": 9}, {"grace": 3601}, {"addresses": ["host"]}, {"addresses": ["fe80::1%eth0"]},
     {"mountd_port": 0}, {"statd_port": 65536}, {"port": 1}],
)  # fmt: skip
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ServerChanges.model_validate(bad)


def test_the_server_by_rest(client: TestClient, supervisor: Supervisor) -> None:
    found = client.get("/v1/server")
    assert found.json()["versions"] == ["4.1", "4.2"]
    changed = client.patch("/v1/server", json={"threads": "auto"}, headers={"If-Match": found.headers["etag"]})
    assert (changed.status_code, changed.json()["threads"]) == (200, "auto")
    assert changed.json()["set"]["threads"] == "auto"
    again = client.patch("/v1/server", json={"threads": 9}, headers={"If-Match": found.headers["etag"]})
    assert error(again, 412)["code"] == "revision-changed"
    assert error(client.patch("/v1/server", json={"lease": 5}), 422)["field"] == "lease"
    assert supervisor.nfs.threads == "auto"
