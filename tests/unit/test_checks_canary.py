"""What is made of a canary's word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.checks.canary import Pulse
from appliance.control.messages import DeleteShare
from appliance.settings import Settings
from appliance.state.check_store import CheckStore
from appliance.state.database import Database
from appliance.state.events import Events
from appliance.state.store import Store
from appliance.supervisor.canary import Canaries, oldest
from appliance.supervisor.executor import Executor
from tests.support.played import FakePath
from tests.support.played_nfs import PlayedServer
from tests.unit.test_checks_samples import SAMPLE
from tests.unit.test_supervisor_requests import running

GOOD = Pulse("same", "", 0.01)
BAD = Pulse("drift", "opens inode 8", 0.01)


class Aviary:
    """Canaries without processes."""

    def __init__(self, directory: Path) -> None:
        store = Store(directory / "db")
        database = Database(directory / "db")
        settings = Settings(state_dir=directory)
        self.executor = Executor(settings, PlayedServer(settings), FakePath(), lambda: None)
        self.events = Events(database)
        self._canaries = Canaries(settings, store, CheckStore(database), self.events, self.executor)

    def hear(self, pulse: Pulse | None) -> bool:
        return self._canaries._heard("a", pulse)

    @property
    def health(self) -> tuple[str, str]:
        found = self.executor.health["a"]
        return found.status, found.reason

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events.newest()]


@pytest.fixture
def aviary(tmp_path: Path) -> Aviary:
    return Aviary(tmp_path)


def test_one_drift_is_an_alarm_that_a_good_look_does_not_end(aviary: Aviary) -> None:
    for pulse in (GOOD, BAD, BAD, GOOD):
        assert aviary.hear(pulse)
    assert aviary.health == ("drift", "a handle has drifted: opens inode 8")
    assert aviary.kinds == ["handle-drift"]


def test_silence_is_an_alarm_that_an_answer_ends(aviary: Aviary) -> None:
    assert not aviary.hear(None), "a canary that is silent is replaced"
    assert aviary.hear(Pulse("unanswered", "the mount answers EIO", 0.1))
    assert aviary.health[0] == "silent"
    assert aviary.hear(GOOD)
    assert aviary.health == ("unknown", "")
    assert aviary.kinds == ["canary-answers", "canary-silent"]


def test_drift_outlasts_silence(aviary: Aviary) -> None:
    aviary.hear(BAD)
    aviary.hear(None)
    assert aviary.health[0] == "drift"


def test_the_sample_looked_at_is_an_old_one_and_not_always_the_same() -> None:
    from dataclasses import replace

    samples = [replace(SAMPLE, path=b"%d" % number, taken=float(number)) for number in range(30, 0, -1)]
    samples += [replace(SAMPLE, path=b""), replace(SAMPLE, path=b"gone", taken=0.0, deleted=1.0)]
    seen = {found.path for minute in range(20) if (found := oldest(samples, lambda minute=minute: minute * 60.0))}  # type: ignore[misc]
    assert seen == {b"%d" % number for number in range(1, 11)}
    assert oldest([]) is None


def test_no_canary_is_sent_into_a_share_that_is_about_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    async def watch(_: Canaries, share: str) -> None:
        sent.append(share)
        await asyncio.Event().wait()

    monkeypatch.setattr(Canaries, "_watch", watch)

    async def body() -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            settings = appliance.settings.model_copy(update={"canary_interval": 0.001})
            results = CheckStore(appliance.database)
            canaries = Canaries(settings, appliance.store, results, appliance.events, appliance.executor)

            async def slowly(share: str) -> None:
                await canaries.let_go(share)
                await asyncio.sleep(0.2)

            appliance.executor.letting_go = slowly
            keeper = asyncio.create_task(canaries.run())
            await appliance.create("a")
            async with asyncio.timeout(60):
                while not sent:
                    await asyncio.sleep(0.001)
                await appliance.reconciler.remount("a", revoke=False)
                while len(sent) < 2:  # it has come back
                    await asyncio.sleep(0.001)
            await appliance.requests.answer(DeleteShare(name="a"))
            keeper.cancel()
            await asyncio.wait([keeper])
            assert sent == ["a", "a"]

    asyncio.run(body())
