"""The keeper, without a kernel: nothing leaves the queue before it is safe elsewhere."""

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.fuse.keeper import Keeper, hand_over, make_queue

_NODE = 7
_PATIENCE_SECONDS = 30


@pytest.fixture
def queue() -> Iterator[tuple[socket.socket, socket.socket]]:
    receiver, sender = make_queue()
    with receiver, sender:
        yield receiver, sender


@pytest.fixture
def connection() -> Iterator[int]:
    """A connection whose kernel knows every inode."""
    descriptor = os.open("/dev/null", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


class Owner:
    """Whom the keeper tells, who may be behind."""

    def __init__(self, queue: tuple[socket.socket, socket.socket], connection: int, *, takes: bool) -> None:
        self.takes = takes
        self.asked = 0
        self.kept: list[int] = []
        self.longest_wait = 0.0
        self.keeper = Keeper(*queue, connection, os.close, self._keep, self.kept.remove, lambda: self.longest_wait)

    def _keep(self, node: int, descriptor: int) -> bool:
        os.stat(descriptor)
        self.asked += 1
        if self.takes:
            self.kept.append(node)
        return self.takes

    def wait(self, asked: int) -> None:
        """Have the keeper look until it has asked so often."""
        _look_until(self.keeper, lambda: self.asked >= asked)


def _look_until(keeper: Keeper, done: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "the keeper did not look at its queue"
        keeper.queue_filled()
        keeper.check()
        time.sleep(0.01)


def _unlink(queue: socket.socket, path: Path, node: int = _NODE) -> None:
    with path.open("w") as file:
        path.unlink()
        hand_over(queue, node, file.fileno())


def test_what_its_owner_has_no_room_for_stays_in_the_queue_however_long(
    queue: tuple[socket.socket, socket.socket], connection: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.fuse.keeper._NOT_TAKEN", 0.0)
    _unlink(queue[1], tmp_path / "file")
    first = Owner(queue, connection, takes=False)
    first.wait(3)
    assert len(first.keeper) == 0
    second = Owner(queue, connection, takes=True)  # the pool process has died, this is the next one's
    second.wait(1)
    assert (second.kept, len(second.keeper)) == ([_NODE], 1)


def test_others_in_the_queue_do_not_wait_for_what_is_not_taken(
    queue: tuple[socket.socket, socket.socket], connection: int, tmp_path: Path
) -> None:
    keeper = Keeper(*queue, connection, os.close, lambda node, _: node != _NODE, lambda _: None, lambda: 0.0)
    _unlink(queue[1], tmp_path / "first")
    _unlink(queue[1], tmp_path / "second", _NODE + 1)
    _look_until(keeper, lambda: len(keeper))
    assert len(keeper) == 1


def test_from_a_full_queue_it_is_taken_after_long_and_its_owner_is_told_later(
    queue: tuple[socket.socket, socket.socket], connection: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.fuse.keeper._NOT_TAKEN", 0.0)
    monkeypatch.setattr("appliance.fuse.keeper._AGAIN", 1e9)
    _, sender = queue
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    sender.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for node in itertools.count(_NODE):
            _unlink(sender, tmp_path / "file", node)
    owner = Owner(queue, connection, takes=False)
    _look_until(owner.keeper, lambda: len(owner.keeper))
    owner.takes = True
    _look_until(owner.keeper, lambda: _NODE in owner.kept)
    asked = owner.asked
    owner.keeper.abandon()
    assert (len(owner.keeper), owner.asked) == (0, asked)


def test_a_removal_that_storage_does_not_answer_is_not_given_up(
    queue: tuple[socket.socket, socket.socket], connection: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.fuse.keeper._NEVER_REMOVED", 0.1)
    owner = Owner(queue, connection, takes=True)
    owner.longest_wait = 1000.0
    with (tmp_path / "file").open("w") as file:  # its name is still there
        hand_over(queue[1], _NODE, file.fileno())
    _look_until(owner.keeper, lambda: owner.kept)
    until = time.monotonic() + 1
    _look_until(owner.keeper, lambda: time.monotonic() > until)
    assert owner.kept == [_NODE]
    owner.longest_wait = 0.0
    _look_until(owner.keeper, lambda: not owner.kept)
