"""Thousands of operations a second from several clients while a worker is killed every half second: nobody notices."""

from __future__ import annotations

import mmap
import os
import random
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from tests.support.children import Child, in_child
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import check_ext4, filesystem
from tests.support.janitor import Janitor
from tests.support.model import SHARED, Model
from tests.support.storm import Client

pytestmark = pytest.mark.fuse

_CLIENTS = 4
_PATIENCE = 120  # seconds in which some operation gets done after a kill, on whatever machine


class Board:
    """Memory that the clients share with the test: a flag that ends them, and a counter for each."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def stop(self) -> None:
        self._memory[0] = 1

    @property
    def stopped(self) -> bool:
        return self._memory[0] == 1

    def count(self, client: int) -> None:
        position = 8 + 8 * client
        (before,) = struct.unpack_from("=Q", self._memory, position)
        struct.pack_into("=Q", self._memory, position, before + 1)

    @property
    def operations(self) -> int:
        return sum(struct.unpack_from(f"={_CLIENTS}Q", self._memory, 8))


@dataclass(frozen=True)
class Weather:
    """Who is killed, and how often."""

    kill: Callable[[Daemon, random.Random], None]
    kills: int
    every: float  # seconds, or more where no operation gets done in them


def _kill_worker(running: Daemon, dice: random.Random) -> None:
    running.kill_one_worker(dice)


def _kill_pool(running: Daemon, dice: random.Random) -> None:
    running.kill_pool()


WEATHERS = {
    "workers": Weather(_kill_worker, kills=60, every=0.5),
    "pool": Weather(_kill_pool, kills=8, every=1.0),
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("weather", WEATHERS)
def test_clients_notice_nothing(
    weather: str, watch: Janitor, work: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    place = work / f"storm-{weather}"
    place.mkdir()
    with filesystem("ext4", place) as disk:
        with daemon(disk.source, place / "mount", tmp_path / "daemon.log", watch) as running:
            models = _storm(WEATHERS[weather], running, record_property)
        for model in models:
            in_child(partial(_verify, model, disk.source))
    check_ext4(disk.image)


def _storm(weather: Weather, running: Daemon, measured: Callable[[str, object], None]) -> list[Model]:
    """Let the clients rage and kill processes; return their models, which the mount agrees with."""
    (running.mountpoint / SHARED).mkdir()
    board = Board()
    with ExitStack() as stack:
        rages = [partial(_rage, number, board, running.mountpoint) for number in range(_CLIENTS)]
        clients = [stack.enter_context(Child(rage)) for rage in rages]
        kills, seconds = _kill_and_wait(weather, running, board, clients)
        board.stop()
        models = [child.result() for child in clients]
    done = board.operations
    measured("storm", f"{done:,} operations and {kills} kills in {seconds:.1f} s, {done / seconds:,.0f}/s")
    assert kills == weather.kills
    return cast("list[Model]", models)


def _rage(number: int, board: Board, top: Path) -> Model:
    """Be one client until told to stop; return the model. Raises whatever went wrong."""
    os.chdir(top)
    client = Client(number, random.Random(number), lambda: board.count(number))
    client.begin()
    while not board.stopped:
        client.step()
    client.end()
    client.model.verify()
    return client.model


def _verify(model: Model, top: Path) -> None:
    os.chdir(top)
    model.verify()


def _kill_and_wait(weather: Weather, running: Daemon, board: Board, clients: list[Child]) -> tuple[int, float]:
    """Kill, with work done between any two kills, until it was enough or a client has failed.

    Returns the number of kills and the seconds it took.
    """
    dice = random.Random()
    began = time.monotonic()
    kills = 0
    while kills < weather.kills and not any(child.ended for child in clients):
        before = board.operations
        time.sleep(max(0.0, began + (kills + 1) * weather.every - time.monotonic()))
        deadline = time.monotonic() + _PATIENCE
        while board.operations == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert board.operations > before, f"nothing gets done after {kills} kills"
        weather.kill(running, dice)
        kills += 1
    return kills, time.monotonic() - began
