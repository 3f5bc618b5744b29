"""A filesystem was lost with what it had not written: the NFS server starts anew once it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from appliance.checks.source_look import Seen, Verdict
from appliance.control.messages import RotateKey
from appliance.errors import SourceError
from appliance.state.records import Fsid
from appliance.supervisor.changes import Changes
from appliance.supervisor.drift import Drift
from appliance.supervisor.executor import Executor
from appliance.supervisor.lost_writes import LostWrites
from appliance.supervisor.missing import Missing
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.requests import Requests
from appliance.supervisor.source_watch import SourceWatch
from tests.unit.test_supervisor_requests import Appliance, running

Between = Callable[[Appliance], Awaitable[None]]
Act = Callable[[Between], None]


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Act:
    """Run a body in an appliance that serves the shares a and b."""

    async def run(body: Between) -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            await appliance.create("a")
            await appliance.create("b")
            appliance.server.restarts = 0
            await body(appliance)
            # What is broken is withheld from its clients, who cannot come back, before it is let go of.
            appliance.server.released_exported.clear()

    return lambda body: asyncio.run(run(body))


async def lose(appliance: Appliance, *, broken: bool = True) -> None:
    """Have the source of a be gone."""
    source = appliance.sources / "a"
    appliance.path.missing = {source}
    error = SourceError(f"{source}: Input/output error")
    appliance.executor.gone("a", Missing(appliance.executor.served["a"].wanted, error, broken))
    await appliance.reconciler.reconcile()
    assert ("a" not in appliance.executor.served) is broken
    assert appliance.server.restarts == 0


async def come_back(appliance: Appliance) -> None:
    appliance.path.missing = set()
    appliance.executor.forget("a")
    appliance.executor.retry_sources()
    await appliance.reconciler.reconcile()
    assert appliance.executor.served["a"].serving
    assert appliance.server.running == appliance.settings.nfs_threads


async def _nothing(_: Appliance) -> None:
    pass


async def _a_change(appliance: Appliance) -> None:
    await appliance.change("a", sync=False)


async def _another_key(appliance: Appliance) -> None:
    await appliance.requests.answer(RotateKey(name="a"))


async def _a_death(appliance: Appliance) -> None:
    appliance.executor = Executor(
        appliance.settings, appliance.server, appliance.path, lambda: appliance.reconciler.wake()
    )
    settings, store, executor = appliance.settings, appliance.store, appliance.executor
    appliance.reconciler = Reconciler(settings, store, executor, Drift(appliance.events))
    appliance.changes = Changes(settings, store, executor, appliance.reconciler, appliance.path)
    appliance.requests = Requests(store, executor, appliance.changes, appliance.side)
    appliance.executor.adopt()
    await appliance.reconciler.reconcile()


WAYS = [_nothing, _a_change, _another_key, _a_death]


@pytest.mark.parametrize("between", WAYS)
def test_the_server_starts_anew_when_the_source_is_back_and_not_before(between: Between, act: Act) -> None:
    """Before that, clients could not reclaim what they hold on the share, and would be late for all others."""

    async def body(appliance: Appliance) -> None:
        await lose(appliance)
        await between(appliance)
        await appliance.reconciler.reconcile()
        assert "a" not in appliance.executor.served
        assert appliance.server.restarts == 0
        await come_back(appliance)
        assert appliance.server.restarts == 1
        await appliance.change("a", enabled=False)
        await appliance.change("a", enabled=True)
        assert appliance.server.restarts == 1, "once is enough"

    act(body)


def test_a_share_that_is_disabled_meanwhile_is_not_forgotten(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await lose(appliance)
        await appliance.change("a", enabled=False)
        assert "a" not in appliance.executor.missing
        appliance.path.missing = set()
        await appliance.change("a", enabled=True)
        assert appliance.executor.served["a"].serving
        assert appliance.server.restarts == 1

    act(body)


def test_another_directory_at_the_path_is_not_taken_for_the_return(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await lose(appliance)
        await _a_death(appliance)
        appliance.path.missing, appliance.path.uuid = set(), "bb"  # that below the mount point
        appliance.executor.retry_sources()
        await appliance.reconciler.reconcile()
        assert "another directory" in str(appliance.executor.faults["a"].error)
        assert appliance.server.restarts == 0
        appliance.path.uuid = "aa"
        await come_back(appliance)
        assert appliance.server.restarts == 1

    act(body)


def test_a_server_that_started_anew_for_another_reason_needs_not_do_so_again(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await lose(appliance)
        await appliance.server.set_threads(0)
        await appliance.reconciler.reconcile()
        await come_back(appliance)
        assert appliance.server.restarts == 1

    act(body)


def test_a_return_while_the_number_of_threads_changes_is_not_overlooked(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await lose(appliance)
        change = appliance.server.set_threads

        async def return_meanwhile(threads: int) -> None:
            appliance.path.missing = set()
            appliance.executor.forget("a")
            await change(threads)

        appliance.server.running = 3
        appliance.server.set_threads = return_meanwhile  # type: ignore[method-assign]
        await appliance.reconciler.reconcile()
        appliance.server.set_threads = change  # type: ignore[method-assign]
        await come_back(appliance)
        assert appliance.server.restarts == 1

    act(body)


def test_what_is_broken_is_let_go_of_before_it_can_be_back(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its device is there again, say, before the reconciler has had its turn: what is mounted is dead all the same."""
    seen = [Seen(Verdict.GONE, "source", "Input/output error", broken=True), *[Seen(Verdict.SAME)] * 2]

    async def ask(*_: object) -> Seen:
        return seen.pop(0)

    monkeypatch.setattr(SourceWatch, "_ask", ask)

    async def body(appliance: Appliance) -> None:
        watch = SourceWatch(appliance.executor, appliance.events, (), appliance.reconciler.wake)
        for _ in range(2):
            await watch._look_at("a")
        await appliance.reconciler.reconcile()
        assert "a" not in appliance.executor.served
        await watch._look_at("a")
        await appliance.reconciler.reconcile()
        assert appliance.executor.served["a"].serving
        assert appliance.server.restarts == 1

    act(body)


def test_a_source_that_was_only_unmounted_is_no_reason_and_a_change_does_not_bring_it_back(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        await lose(appliance, broken=False)
        withheld = appliance.server.there.text
        await appliance.change("a", workers=3)
        assert appliance.server.there.text == withheld
        await come_back(appliance)
        assert appliance.server.there.text != withheld
        assert appliance.server.restarts == 0

    act(body)


def test_what_is_lost_while_the_server_starts_is_not_settled_by_it(act: Act) -> None:
    async def body(appliance: Appliance) -> None:
        wanted = appliance.executor.served["a"].wanted
        start = appliance.server.set_threads

        async def lose_meanwhile(threads: int) -> None:
            appliance.executor.gone("a", Missing(wanted, SourceError("gone"), broken=True))
            await start(threads)

        appliance.server.running = 0
        appliance.server.set_threads = lose_meanwhile  # type: ignore[method-assign]
        await appliance.reconciler.reconcile()
        appliance.server.set_threads = start  # type: ignore[method-assign]
        await appliance.reconciler.reconcile()
        assert "a" not in appliance.executor.served
        await come_back(appliance)
        assert appliance.server.restarts == 1

    act(body)


def test_what_cannot_be_kept_or_read_keeps_nobody_from_being_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fsid = Fsid(UUID(int=1))
    lost = LostWrites(tmp_path / "no such directory/lost-writes")
    lost.note(fsid)
    assert lost.fsids == {fsid}
    assert "successor" in caplog.text
    (tmp_path / "lost-writes").write_text("not an fsid\n")
    assert LostWrites(tmp_path / "lost-writes").fsids == frozenset()
    assert "cannot be read" in caplog.text
