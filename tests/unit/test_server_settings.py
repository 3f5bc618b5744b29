"""The NFS server's settings: set while the appliance runs, in force at once, and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from appliance.control.messages import Reply
from appliance.control.server_settings import GetServer, ServerReply, ServerView, UpdateServer
from appliance.errors import CommandError, RequestError, StateError
from appliance.model.server import ServerChanges, ServerSettings
from appliance.nfs import daemons
from appliance.settings import Settings
from appliance.state.server_settings import effective, threads
from appliance.state.store import Store
from appliance.supervisor.server_requests import ServerRequests, in_force
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
            requests = ServerRequests(
                appliance.settings, appliance.store, appliance.changes, appliance.reconciler, appliance.side
            )
            await body(appliance, requests)

    return lambda body: asyncio.run(run(body))


def test_threads_change_without_a_start_of_the_server(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        await appliance.create("a")
        log = list(appliance.path.log)
        assert appliance.server.running == 8
        told = view(await requests.answer(UpdateServer(changes=ServerChanges(threads=20))))
        assert (told.threads, told.started_anew_for) == (20, ())
        assert appliance.server.running == 20
        told = view(await requests.answer(UpdateServer(changes=ServerChanges(threads=None))))
        assert told.threads == 8
        assert appliance.server.running == 8
        assert appliance.server.restarts == 0
        assert appliance.path.log == log

    act(body)


def test_other_settings_start_the_server_anew_and_touch_no_share(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        await appliance.create("a")
        before, log = appliance.server.there, list(appliance.path.log)

        async def told(**changes: object) -> tuple[tuple[str, ...], int]:
            request = UpdateServer(changes=ServerChanges.model_validate(changes))
            return view(await requests.answer(request)).started_anew_for, appliance.server.restarts

        assert await told(mountd_port=5000) == ((), 0)  # NFSv3 is off: nobody asks there
        assert await told(lease=12, addresses=("127.0.0.2",), threads=9) == (("lease", "addresses"), 1)
        assert (appliance.server.settings.nfs_lease, appliance.server.running) == (12, 9)
        assert await told(versions=("3", "4.1"), mountd_port=None) == (("versions", "mountd_port"), 2)
        assert (await appliance.change("a")).nfs_paths.v3 == str(appliance.settings.exports_dir / "a")
        assert await told(lease=None, addresses=None, versions=None) == (("versions", "lease", "addresses"), 3)
        assert await told(lease=None) == ((), 3)
        assert (appliance.server.there, appliance.path.log) == (before, log)
        assert not any(event.kind == "drift-repaired" for event in appliance.events.newest())

    act(body)


def test_a_rehearsal_tells_and_does_nothing(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        told = view(await requests.answer(UpdateServer(changes=ServerChanges(lease=12, threads=9), dry_run=True)))
        assert (told.lease, told.threads, told.started_anew_for) == (12, 9, ("lease",))
        assert view(await requests.answer(GetServer())).lease != 12
        assert (appliance.store.server(), appliance.server.restarts) == (ServerSettings(), 0)

    act(body)


def test_a_server_that_does_not_start_returns_to_what_it_had(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        await requests.answer(UpdateServer(changes=ServerChanges(lease=12)))
        appliance.side.refused = lambda settings: settings.nfs_v3
        with pytest.raises(CommandError, match=r"rpc\.mountd"):
            await requests.answer(UpdateServer(changes=ServerChanges(versions=("3", "4.1"), lease=13)))
        assert view(await requests.answer(GetServer())).lease == 12
        assert (appliance.server.settings.nfs_lease, appliance.server.settings.nfs_v3) == (12, False)
        assert appliance.server.running == 8
        assert appliance.store.server() == ServerSettings(lease=12)
        assert in_force(appliance.store, appliance.settings.run_dir, again=True) == ServerSettings(lease=12)

    act(body)


def test_settings_that_cannot_be_kept_are_not_in_force(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        def full(wanted: ServerSettings) -> None:
            raise StateError(f"no room for {wanted}", "make room")

        appliance.store.set_server = full  # type: ignore[method-assign]
        before = appliance.server.settings.nfs_lease
        with pytest.raises(StateError):
            await requests.answer(UpdateServer(changes=ServerChanges(lease=12)))
        assert (appliance.server.settings.nfs_lease, appliance.server.running) == (before, 8)

    act(body)


def test_threads_that_cannot_be_kept_go_back_without_a_start_of_the_server(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        def full(wanted: ServerSettings) -> None:
            raise StateError(f"no room for {wanted}", "make room")

        appliance.store.set_server = full  # type: ignore[method-assign]
        with pytest.raises(StateError):
            await requests.answer(UpdateServer(changes=ServerChanges(threads=20)))
        assert (appliance.server.running, appliance.server.restarts) == (8, 0)

    act(body)


def test_a_file_that_cannot_be_written_leaves_the_server_as_it_was(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        note = appliance.settings.run_dir / "server-in-force"
        note.mkdir()
        with pytest.raises(StateError, match="cannot be written"):
            await requests.answer(UpdateServer(changes=ServerChanges(lease=12)))
        assert (appliance.server.running, appliance.server.restarts) == (8, 0)
        assert appliance.store.server() == ServerSettings()
        note.rmdir()

    act(body)


def test_an_address_that_is_not_ours_is_refused_before_anything_stops(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        with pytest.raises(RequestError, match=r"192\.0\.2\.1 cannot be listened on: EADDRNOTAVAIL") as caught:
            await requests.answer(UpdateServer(changes=ServerChanges(addresses=("192.0.2.1",))))
        assert (caught.value.code, caught.value.field) == ("address-missing", "addresses")
        assert appliance.server.restarts == 0

    act(body)


def test_a_change_that_a_death_cut_off_is_settled_by_the_next_supervisor(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance, requests: ServerRequests) -> None:
        await requests.settle()
        assert appliance.server.restarts == 0
        await appliance.side.restart(appliance.settings.model_copy(update={"nfs_lease": 12}))  # and it was not kept
        await requests.settle()
        assert appliance.server.settings == appliance.settings
        assert appliance.server.running == 8

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
    assert " -p 6 " in " ".join(argv["rpc.statd"])
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
    rehearsed = client.patch("/v1/server?dry_run=true", json={"threads": 9})
    assert (rehearsed.status_code, rehearsed.json()["threads"]) == (200, 9)
    assert supervisor.nfs.threads == "auto"
