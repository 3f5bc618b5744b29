"""Handle checks as the supervisor makes them, of shares that are only played."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

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
