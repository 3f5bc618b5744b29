"""Handle checks as the supervisor makes them, of shares that are only played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from appliance.checks.messages import Checked, CheckOrder, OverNfs
from appliance.control.checks import CancelCheck, GetCheck, StartCheck
from appliance.model.handles import CheckWanted
from appliance.state.check_store import CheckStore
from appliance.supervisor.check_modes import CheckModes
from appliance.supervisor.handle_checks import HandleChecks
from tests.unit.test_supervisor_requests import Appliance, running

Ending = Callable[[HandleChecks, int], Awaitable[None]]


async def _cancelled(checks: HandleChecks, number: int) -> None:
    await checks.cancel(CancelCheck(name="a", id=number))


async def _let_go(checks: HandleChecks, _: int) -> None:
    await checks.let_go("a")


def made(appliance: Appliance) -> HandleChecks:
    modes = CheckModes(appliance.settings, appliance.executor, appliance.reconciler, appliance.server)
    results = CheckStore(appliance.database)
    return HandleChecks(appliance.settings, appliance.store, results, appliance.events, appliance.executor, modes)


@pytest.mark.parametrize("end", [_cancelled, _let_go])
def test_a_check_that_is_ended_before_its_first_step_is_over(
    end: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(function: Callable[[], object]) -> object:
        return function()  # nobody lets the check's task have its turn

    monkeypatch.setattr("appliance.supervisor.handle_checks.in_thread", at_once)

    async def body() -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            await appliance.create("a")
            checks = made(appliance)
            order = StartCheck(name="a", wanted=CheckWanted())
            first = (await checks.start(order)).check
            await end(checks, first.id)
            report = (await checks.get(GetCheck(name="a", id=first.id))).report
            assert (report.state, bool(report.finished)) == ("cancelled", True)
            second = (await checks.start(order)).check
            assert second.id != first.id
            await end(checks, second.id)

    asyncio.run(body())


def test_a_check_over_nfs_looks_where_clients_find_the_share_and_takes_nothing_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            clients = ({"host": "127.0.0.1", "access": "rw"},)
            await appliance.create("a", nfs_path="/media/films", clients=clients)
            before = appliance.server.there
            asked: list[tuple[OverNfs | None, frozenset[tuple[str, str]]]] = []

            async def ask(order: CheckOrder, _: float) -> AsyncIterator[Checked]:
                asked.append((order.nfs, appliance.server.there.pairs - before.pairs))
                assert "127.0.0.1(rw," in appliance.server.there.text
                yield Checked(counts={}, found=(), samples=(), seconds=0.0)

            monkeypatch.setattr("appliance.supervisor.checker.ask", ask)
            checks = made(appliance)
            begun = (await checks.start(StartCheck(name="a", wanted=CheckWanted(mode="nfs")))).check
            async with asyncio.timeout(30):
                while (await checks.get(GetCheck(name="a", id=begun.id))).report.state == "running":
                    await asyncio.sleep(0.01)
            paths = (appliance.settings.exports_dir, appliance.settings.mountpoint("/media/films"))
            way = OverNfs(port=appliance.settings.nfs_port, path="/media/films", caller="127.0.0.77")
            assert asked == [(way, frozenset((str(path), "127.0.0.77") for path in paths))]
            assert appliance.server.there == before

    asyncio.run(body())
