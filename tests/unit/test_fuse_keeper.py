"""The keeper, without a kernel: nothing leaves the queue before it is safe elsewhere."""

import os
import socket
import time
from collections.abc import Iterator
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

    def __init__(self, queue: socket.socket, connection: int, *, takes: bool) -> None:
        self.takes = takes
        self.asked = 0
        self.kept: list[int] = []
        self.keeper = Keeper(queue, connection, os.close, self._keep, self.kept.remove)

    def _keep(self, node: int, descriptor: int) -> bool:
        os.stat(descriptor)
        self.asked += 1
        if self.takes:
            self.kept.append(node)
        return self.takes

    def wait(self, asked: int) -> None:
        """Have the keeper look until it has asked so often."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.asked < asked:
            assert time.monotonic() < deadline, "the keeper did not look at its queue"
            self.keeper.queue_filled()
            self.keeper.check()
            time.sleep(0.01)


def _unlink(queue: socket.socket, path: Path) -> None:
    with path.open("w") as file:
        path.unlink()
        hand_over(queue, _NODE, file.fileno())


def test_what_its_owner_has_no_room_for_stays_in_the_queue(
    queue: tuple[socket.socket, socket.socket], connection: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.fuse.keeper._NOT_TAKEN", float("inf"))
    receiver, sender = queue
    _unlink(sender, tmp_path / "file")
    first = Owner(receiver, connection, takes=False)
    first.wait(2)
    assert len(first.keeper) == 0
    second = Owner(receiver, connection, takes=True)  # the pool process has died, this is the next one's
    second.wait(1)
    assert (second.kept, len(second.keeper)) == ([_NODE], 1)


def test_what_an_owner_did_not_take_for_long_is_kept_and_he_is_told_later(
    queue: tuple[socket.socket, socket.socket], connection: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.fuse.keeper._NOT_TAKEN", 0.0)
    receiver, sender = queue
    _unlink(sender, tmp_path / "file")
    owner = Owner(receiver, connection, takes=False)
    owner.wait(1)
    assert len(owner.keeper) == 1
    with pytest.raises(BlockingIOError):
        receiver.recv(1)
    owner.takes = True
    owner.wait(2)
    assert owner.kept == [_NODE]
    asked = owner.asked
    owner.keeper.abandon()
    assert (len(owner.keeper), owner.asked) == (0, asked)
