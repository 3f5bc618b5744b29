"""Requests, reconciling and carrying out plans: all but the data path and the NFS server are real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.control.messages import (
    CreateShare,
    DeleteShare,
    Done,
    GetReadiness,
    GetShare,
    ListShares,
    ReadinessReply,
    Reply,
    RotateKey,
    ShareReply,
    SharesReply,
    ShareView,
    UpdateShare,
)
from appliance.errors import RequestError
from appliance.model import Client, Share, ShareChanges
from appliance.nfs import protection
from appliance.nfs.server import Exported
from appliance.settings import Settings
from appliance.state.database import Database
from appliance.state.events import Events
from appliance.state.store import Store
from appliance.supervisor import mountinfo
from appliance.supervisor.changes import Changes
from appliance.supervisor.drift import Drift
from appliance.supervisor.executor import Executor
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.requests import Requests
from tests.support.played import FakePath
from tests.support.played_nfs import PlayedServer, PlayedSide

CLIENTS = (Client(network="10.0.0.0/8"),)


class Appliance:
    """A supervisor without processes."""

    def __init__(self, directory: Path) -> None:
        self.settings = Settings(
            state_dir=directory / "state", run_dir=directory / "run", exports_dir=directory / "exports"
        )
        self.sources = directory / "srv"
        for name in ("state", "run", "exports", "srv/a/inner", "srv/b"):
            (directory / name).mkdir(parents=True)
        self.path = FakePath()
        self.server = PlayedServer(self.settings)
        self.store = Store(self.settings.database)
        self.database = Database(self.settings.database)
        self.events = Events(self.database)
        self.executor = Executor(self.settings, self.server, self.path, lambda: self.reconciler.wake())
        self.reconciler = Reconciler(self.settings, self.store, self.executor, Drift(self.events))
        self.changes = Changes(self.settings, self.store, self.executor, self.reconciler, self.path)
        self.side = PlayedSide(self.server)
        self.requests = Requests(self.store, self.executor, self.changes, self.side)

    def share(self, name: str = "a", source: str = "", **more: object) -> Share:
        source = source or str(self.sources / name)
        return Share.model_validate({"name": name, "source": source, "clients": CLIENTS, **more})

    async def create(self, name: str = "a", source: str = "", **more: object) -> ShareView:
        return view(await self.requests.answer(CreateShare(share=self.share(name, source, **more))))

    async def change(self, name: str, **changes: object) -> ShareView:
        request = UpdateShare(name=name, changes=ShareChanges.model_validate(changes))
        return view(await self.requests.answer(request))

    def snapshot(self) -> object:
        return self.store.shares(), self.server.there, set(self.path.mounts), list(self.path.log)


def view(reply: Reply) -> ShareView:
    assert isinstance(reply, ShareReply)
    return reply.share


@asynccontextmanager
async def running(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Appliance]:
    appliance = Appliance(directory)
    mounts = appliance.path.mounts
    monkeypatch.setattr(
        mountinfo, "below", lambda _: [mountinfo.Mount(path, "fuse.holdfast", path.name) for path in mounts]
    )
    try:
        await appliance.reconciler.reconcile()
        yield appliance
    finally:
        await appliance.reconciler.shut_down()
        appliance.database.close()
        appliance.store.close()
    assert mounts == set()
    assert appliance.server.running == 0
    assert appliance.server.released_exported == []
    assert appliance.server.there.pairs == frozenset()


Body = Callable[[Appliance], Awaitable[None]]


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Body], None]:
    """Run a body in an appliance; when it ends, nothing may be left of it."""

    async def run(body: Body) -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            await body(appliance)

    return lambda body: asyncio.run(run(body))


Act = Callable[[Body], None]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_share_is_served_by_the_time_it_is_answered(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        made = await appliance.create()
        assert made.state.status == "ok"
        assert (made.nfs_paths.v4, made.nfs_paths.v3) == ("/a", None)
        assert (str(appliance.settings.exports_dir / "a"), "10.0.0.0/8") in appliance.server.there.pairs
        assert str(made.fsid) in appliance.server.there.text
        assert view(await appliance.requests.answer(GetShare(name="a"))) == made
        listed = await appliance.requests.answer(ListShares())
        assert listed == SharesReply(shares=(made,))

    act(body)


def test_a_share_that_is_removed_leaves_nothing_and_may_come_back(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        first = await appliance.create()
        await appliance.create("b")
        assert await appliance.requests.answer(DeleteShare(name="a")) == Done()
        assert appliance.path.mounts == {appliance.settings.exports_dir / "b"}
        assert appliance.server.released == [appliance.settings.exports_dir / "a"]
        assert (await appliance.create()).fsid == first.fsid

    act(body)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("srv/missing", "source-missing"),
        ("srv/a", "source-overlaps"),
        ("srv/a/inner", "source-overlaps"),
        ("srv", "source-overlaps"),
        ("link/inner", "source-overlaps"),
        ("state", "source-reserved"),
        ("exports/a", "source-reserved"),
        ("", "source-reserved"),
    ],
)
def test_a_source_that_cannot_be_served_is_refused_and_nothing_changes(
    act: Act, tmp_path: Path, source: str, code: str
) -> None:
    async def body(appliance: Appliance) -> None:
        (tmp_path / "link").symlink_to(appliance.sources / "a")
        await appliance.create("a")
        await appliance.create("b")
        appliance.path.missing = {tmp_path / "srv/missing"}
        before = appliance.snapshot()
        for attempt in (
            appliance.create("new", str(tmp_path / source)),
            appliance.change("b", source=str(tmp_path / source)),
        ):
            with pytest.raises(RequestError) as caught:
                await attempt
            assert (caught.value.code, caught.value.field) == (code, "source")
        assert appliance.snapshot() == before

    act(body)


def test_a_name_that_is_taken_is_refused_before_its_source_is_looked_at(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        before = appliance.snapshot()
        with pytest.raises(RequestError) as caught:
            await appliance.create("a", "/nowhere")
        assert caught.value.code == "share-exists"
        assert appliance.snapshot() == before

    act(body)


def test_what_does_not_exist_is_not_found(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        for attempt in (
            appliance.requests.answer(GetShare(name="a")),
            appliance.requests.answer(DeleteShare(name="a")),
            appliance.requests.answer(RotateKey(name="a")),
            appliance.change("a", enabled=False),
        ):
            with pytest.raises(RequestError) as caught:
                await attempt
            assert caught.value.code == "share-not-found"

    act(body)


def test_new_clients_disturb_no_mount(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create()
        changed = await appliance.change("a", clients=[{"host": "198.51.100.7", "access": "rw"}])
        assert changed.clients[0].address == "198.51.100.7"
        assert appliance.path.log == ["mount"]
        assert {client for _, client in appliance.server.there.pairs} == {"198.51.100.7"}

    act(body)


def test_another_source_is_another_share_to_its_clients(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        first = await appliance.create()
        moved = await appliance.change("a", source=str(appliance.sources / "b"))
        assert moved.fsid != first.fsid
        assert appliance.path.log == ["mount", "unmount", "close", "mount"]
        assert str(first.fsid) not in appliance.server.there.text

    act(body)


def test_another_key_mounts_the_share_anew_and_no_other(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        first = await appliance.create("a")
        await appliance.create("b")
        other, keys = appliance.executor.served["b"], [record.identity.key for record in appliance.store.shares()]
        rotated = view(await appliance.requests.answer(RotateKey(name="a")))
        assert (rotated.fsid, rotated.state.status) == (first.fsid, "ok")
        assert appliance.path.log == ["mount", "mount", "unmount", "close", "mount"]
        assert appliance.server.released == [appliance.settings.exports_dir / "a"]
        assert str(first.fsid) in appliance.server.there.text
        assert appliance.executor.served["b"] is other
        new = [record.identity.key for record in appliance.store.shares()]
        assert appliance.executor.served["a"].wanted.identity.key == new[0] != keys[0]
        assert new[1] == keys[1]

    act(body)


def test_another_key_is_in_force_although_the_server_failed_on_the_way(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        appliance.server.broken = "no exports now"
        view(await appliance.requests.answer(RotateKey(name="a")))
        appliance.server.broken = ""
        appliance.executor.faults.clear()
        await appliance.reconciler.attempt()
        served, stored = appliance.executor.served["a"].wanted.identity, appliance.store.share("a").identity
        assert served == stored
        assert appliance.server.released == [appliance.settings.exports_dir / "a"]

    act(body)


def test_a_disabled_share_is_not_served(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        made = await appliance.create()
        assert (await appliance.change("a", enabled=False)).state.status == "disabled"
        assert appliance.path.mounts == set()
        again = await appliance.change("a", enabled=True)
        assert (again.state.status, again.fsid) == ("ok", made.fsid)

    act(body)


def test_a_failed_share_tells_why_stays_exported_and_comes_back(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        await appliance.create("b")
        appliance.path.missing = {appliance.sources / "a"}
        lost = appliance.executor.served["a"]
        appliance.path.mounts.discard(appliance.settings.exports_dir / "a")
        await appliance.reconciler.attempt()
        assert "a" not in appliance.executor.served
        assert lost is not None
        failed = view(await appliance.requests.answer(GetShare(name="a")))
        assert failed.state.status == "failed"
        assert "does not exist" in failed.state.reason
        # Its clients are to wait, not to be told ESTALE.
        assert str(failed.fsid) in appliance.server.there.text
        assert view(await appliance.requests.answer(GetShare(name="b"))).state.status == "ok"
        readiness = await appliance.requests.answer(GetReadiness())
        assert isinstance(readiness, ReadinessReply)
        assert (readiness.readiness.ready, readiness.readiness.shares_ready) == (False, 1)
        appliance.path.missing = set()
        loop = asyncio.create_task(appliance.reconciler.run())
        await until(lambda: "a" in appliance.executor.served)
        loop.cancel()

    act(body)


def test_a_failed_share_is_not_tried_before_its_time(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        appliance.path.missing = {appliance.sources / "a"}
        appliance.path.mounts.clear()
        await appliance.reconciler.attempt()
        fault = appliance.executor.faults["a"]
        assert fault.retry_at > time.monotonic()
        appliance.path.missing = set()
        await appliance.reconciler.attempt()
        assert "a" in appliance.executor.faults
        await appliance.change("a", workers=3)  # somebody has mended something: no waiting
        assert appliance.executor.faults == {}

    act(body)


def test_an_nfs_server_that_fails_is_told_and_tried_again(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        appliance.server.broken = "exportfs: no room"
        made = await appliance.create()
        assert (made.state.status, made.state.reason) == ("failed", "exportfs: no room")
        readiness = await appliance.requests.answer(GetReadiness())
        assert isinstance(readiness, ReadinessReply)
        assert "exportfs: no room" in readiness.readiness.problems
        appliance.server.broken = ""
        loop = asyncio.create_task(appliance.reconciler.run())
        await until(lambda: not appliance.executor.faults)
        loop.cancel()
        assert view(await appliance.requests.answer(GetShare(name="a"))).state.status == "ok"

    act(body)


def test_a_mount_of_somebody_else_is_taken_away(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        appliance.path.mounts.add(appliance.settings.exports_dir / "old")
        await appliance.reconciler.attempt()
        assert appliance.path.mounts == set()

    act(body)


def test_shares_of_the_last_run_are_served_before_clients_are(act: Act, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        await appliance.reconciler.shut_down()
        set_threads = appliance.server.set_threads

        async def watch(threads: int) -> None:
            seen.append((threads, len(appliance.server.there.pairs)))
            await set_threads(threads)

        appliance.server.set_threads = watch  # type: ignore[method-assign]
        await appliance.reconciler.reconcile()

    act(body)
    assert seen[0] == (8, 2)
    assert seen[-1][0] == 0


def test_requests_at_once_are_carried_out_one_after_the_other(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        results = await asyncio.gather(*(appliance.create("a") for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(result, ShareView) for result in results) == 1
        assert sum(isinstance(result, RequestError) for result in results) == 4
        assert appliance.path.log == ["mount"]

    act(body)


def test_a_successor_goes_on_with_what_is_served_and_touches_nothing(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        await appliance.create("b", workers=3)
        appliance.path.log.clear()
        predecessor = appliance.executor
        appliance.executor = Executor(
            appliance.settings, appliance.server, appliance.path, lambda: appliance.reconciler.wake()
        )
        appliance.reconciler = Reconciler(
            appliance.settings, appliance.store, appliance.executor, Drift(appliance.events)
        )
        appliance.executor.adopt()
        await appliance.reconciler.reconcile()
        assert appliance.path.log == ["adopt", "adopt", "discard"]
        assert {name: share.wanted for name, share in appliance.executor.served.items()} == {
            name: share.wanted for name, share in predecessor.served.items()
        }
        assert all(share.serving for share in appliance.executor.served.values())

    act(body)


def test_a_supervisor_that_died_with_another_key_stored_leaves_no_mount_with_the_old_one(
    act: Callable[[Body], None],
) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        await appliance.create("b")
        appliance.store.rotate_key("a")  # and died
        appliance.path.log.clear()
        appliance.executor = Executor(
            appliance.settings, appliance.server, appliance.path, lambda: appliance.reconciler.wake()
        )
        appliance.reconciler = Reconciler(
            appliance.settings, appliance.store, appliance.executor, Drift(appliance.events)
        )
        appliance.executor.adopt()
        await appliance.reconciler.reconcile()
        assert appliance.path.log == ["adopt", "adopt", "discard", "unmount", "close", "mount"]
        assert appliance.server.released == [appliance.settings.exports_dir / "a"]
        served = appliance.executor.served["a"].wanted.identity
        assert served == appliance.store.share("a").identity

    act(body)


def test_what_cannot_be_adopted_is_mounted_anew(act: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        appliance.path.descriptions["a"] = "{}"
        appliance.executor = Executor(
            appliance.settings, appliance.server, appliance.path, lambda: appliance.reconciler.wake()
        )
        appliance.reconciler = Reconciler(
            appliance.settings, appliance.store, appliance.executor, Drift(appliance.events)
        )
        appliance.executor.adopt()
        assert not appliance.executor.served
        await appliance.reconciler.reconcile()
        assert appliance.executor.served["a"].serving

    act(body)


def test_a_host_name_without_an_address_is_told_and_tried_again_and_disturbs_nobody(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        root = appliance.settings.exports_dir
        appliance.server.unresolved = True
        await appliance.create("b")
        named = [{"host": "alias.example.org"}, {"network": "10.0.0.0/8"}]
        made = await appliance.create(clients=named)
        assert (made.state.status, "host name" in made.state.reason) == ("degraded", True)
        other = view(await appliance.requests.answer(GetShare(name="b")))
        assert other.state.status == "ok"
        assert {(str(root / name), "10.0.0.0/8") for name in "ab"} <= appliance.server.there.pairs
        assert appliance.server.running
        ready = await appliance.requests.answer(GetReadiness())
        assert isinstance(ready, ReadinessReply)
        assert (ready.readiness.shares_ready, ready.readiness.nfs) == (1, True)

        appliance.server.unresolved = False
        running = asyncio.create_task(appliance.reconciler.run())
        await until(lambda: not appliance.executor.faults)
        running.cancel()
        assert view(await appliance.requests.answer(GetShare(name="a"))).state.status == "ok"

    act(body)


def test_a_share_that_waits_for_dns_is_mounted_anew_at_once(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        appliance.server.unresolved = True
        await appliance.create(clients=[{"host": "alias.example.org"}])
        assert appliance.executor.faults["a"].retry_at > time.monotonic()
        appliance.path.mounts.clear()
        await appliance.reconciler.attempt()
        assert appliance.path.mounts == {appliance.settings.exports_dir / "a"}

    act(body)


def test_a_share_is_found_under_the_path_it_was_given(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        root = appliance.settings.exports_dir
        made = await appliance.create(nfs_path="/media/films")
        assert made.nfs_paths.v4 == "/media/films"
        assert appliance.path.mounts == {root / "media/films"}
        assert (str(root / "media/films"), "10.0.0.0/8") in appliance.server.there.pairs
        (root / "media/films").mkdir()  # as the real mount would
        (root / "media/films").rmdir()
        moved = await appliance.change("a", nfs_path=None)
        assert moved.fsid == made.fsid
        assert appliance.path.mounts == {root / "a"}
        assert appliance.server.released == [root / "media/films"]
        assert list(root.iterdir()) == []

    act(body)


@pytest.mark.parametrize("path", ["/a", "/a/b", "/media", "/media/films", "/media/films/new"])
def test_a_path_that_is_taken_is_refused(act: Act, path: str) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        await appliance.create("films", nfs_path="/media/films", source=str(appliance.sources / "b"))
        (appliance.sources / "c").mkdir()
        before = appliance.snapshot()
        with pytest.raises(RequestError) as caught:
            await appliance.create("c", nfs_path=path)
        assert (caught.value.code, caught.value.field) == ("nfs-path-taken", "nfs_path")
        assert appliance.snapshot() == before

    act(body)


@pytest.mark.parametrize(("wish", "field"), [({"security": ["krb5"]}, "security"), ({"transport": "tls"}, "transport")])
def test_protection_that_nobody_provides_is_refused(
    act: Act, monkeypatch: pytest.MonkeyPatch, wish: dict[str, object], field: str
) -> None:
    monkeypatch.setattr(protection, f"lacks_{'tls' if field == 'transport' else 'kerberos'}", lambda _: ("no", "get"))

    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        for attempt in (
            appliance.create("b", clients=[{"host": "x"}, {"host": "y", **wish}]),
            appliance.change("a", clients=[{"host": "x"}, {"host": "y", **wish}]),
        ):
            with pytest.raises(RequestError) as caught:
                await attempt
            assert (caught.value.code, caught.value.field) == ("protection-missing", f"clients.1.{field}")

    act(body)


@pytest.fixture
def by_clock(act: Act) -> Callable[[Body], None]:
    """Run a test with the reconciler's own task, which looks every 50 ms."""

    def run(body: Body) -> None:
        async def watched(appliance: Appliance) -> None:
            appliance.reconciler.settings = appliance.settings.model_copy(update={"reconcile_interval": 0.05})
            task = asyncio.create_task(appliance.reconciler.run())
            try:
                await body(appliance)
            finally:
                task.cancel()
                await asyncio.wait([task])

        act(watched)

    return run


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_what_somebody_undoes_by_hand_is_repaired_and_told(by_clock: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        await appliance.create("b")
        server, mounts = appliance.server, appliance.path.mounts
        assert appliance.events.newest() == []  # what was asked for is no drift

        def told() -> set[tuple[str | None, str]]:
            return {(one.share, one.message) for one in appliance.events.newest() if one.kind == "drift-repaired"}

        whole = server.there
        server.there = Exported(whole.text, frozenset(list(whole.pairs)[1:]))  # exportfs -u
        await eventually(lambda: server.there == whole)
        await eventually(lambda: (None, "exports were not as wanted, and are put in force again") in told())

        mounts.discard(appliance.settings.exports_dir / "a")  # umount -l
        await eventually(lambda: appliance.settings.exports_dir / "a" in mounts)
        await eventually(lambda: ("a", "its mount was gone, and is made anew") in told())

        server.running = 0  # rpc.nfsd 0
        await eventually(lambda: server.running)
        await eventually(lambda: len(told()) == 3)
        assert all(event.by == "" for event in appliance.events.newest())

    by_clock(body)


def test_what_is_asked_for_and_what_fails_is_no_drift(by_clock: Callable[[Body], None]) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.create("a")
        await appliance.change("a", workers=5)
        appliance.server.broken = "exportfs: no room"
        await appliance.change("a", clients=[Client(network="192.0.2.0/24")])
        appliance.server.broken = ""
        await eventually(lambda: not appliance.executor.faults)
        await appliance.reconciler.reconcile()
        await appliance.change("a", enabled=False)
        await appliance.reconciler.reconcile()
        assert appliance.events.newest() == []

    by_clock(body)
