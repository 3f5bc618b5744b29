"""Losses: what an fsync was told of lost data reaches the one who asks for them, whoever that fsync was for."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.fuse.intents import Intents
from appliance.fuse.losses import Losses
from appliance.fuse.nodes import NodeId
from appliance.fuse.scoreboard import Scoreboard

NODE, OTHER = NodeId(7), NodeId(8)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What the next calls of fsync(2) fail with."""
    failures: list[int] = []

    def fsync(_descriptor: int) -> None:
        if failures:
            number = failures.pop(0)
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    yield failures
    assert not failures


def losses(board: Scoreboard, index: int) -> Losses:
    slot = board.slot(index)
    return Losses(board, slot, Intents(board, slot))


def told(of: Losses, node: NodeId, descriptor: int) -> int:
    try:
        of.for_its_data(node, descriptor, datasync=False)
    except OSError as error:
        return error.errno or -1
    return 0


def test_what_was_told_in_passing_is_told_again_once_by_whichever_worker(
    board: Scoreboard, descriptor: int, failing: list[int]
) -> None:
    failing += [errno.ENOSPC]
    with pytest.raises(OSError, match="No space"):
        losses(board, 0).in_passing(NODE, descriptor)
    assert [told(losses(board, 1), node, descriptor) for node in (OTHER, NODE, NODE)] == [0, errno.EIO, 0]
    assert not board.any_lost


def test_a_worker_that_dies_leaves_what_it_was_told(board: Scoreboard, descriptor: int, failing: list[int]) -> None:
    failing += [errno.EDQUOT]
    assert told(losses(board, 0), NODE, descriptor) == errno.EDQUOT
    board.add_recovered(board.slot(0).intent())
    board.slot(0).clear()
    assert [told(losses(board, 1), node, descriptor) for node in (OTHER, NODE, NODE)] == [0, errno.EDQUOT, 0]


def test_a_directory_has_no_data_to_lose(board: Scoreboard, tmp_path: Path, failing: list[int]) -> None:
    failing += [errno.EIO]
    directory = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="error"):
        losses(board, 0).in_passing(NODE, directory)
    assert told(losses(board, 0), NODE, directory) == 0
    os.close(directory)


def test_of_more_than_can_be_remembered_the_latest_are(
    board: Scoreboard, descriptor: int, failing: list[int]
) -> None:
    mine = losses(board, 0)
    for number in range(1, 1500):
        failing += [errno.EIO]
        with pytest.raises(OSError, match="error"):
            mine.in_passing(NodeId(number), descriptor)
    assert [told(mine, NodeId(number), descriptor) for number in (1, 1499, 1000)] == [0, errno.EIO, errno.EIO]
