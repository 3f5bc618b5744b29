"""Intents: whether a request that comes a second time is told from one that merely looks like it."""


import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.fuse.intents import Change, Intent, Intents
from appliance.fuse.nodes import NodeId
from appliance.fuse.scoreboard import MAX_RECOVERED, Scoreboard

names = st.binary(min_size=1, max_size=255)
numbers = st.integers(min_value=0, max_value=2**64 - 1)
MKDIR = Intent(Change.MKDIR, NodeId(7), b"d")


def leave_behind(board: Scoreboard, intent: Intent) -> None:
    """As a worker would that died between recording its intent and replying."""
    dead = board.slot(0)
    assert Intents(board, dead).begin(intent) is None
    board.add_recovered(dead.intent())
    dead.clear()


@given(st.sampled_from(Change), numbers, names, numbers, numbers, names, numbers, st.integers(0, 7))
def test_an_intent_survives_shared_memory(
    change: Change, directory: int, name: bytes, before: int, new: int, new_name: bytes, new_before: int, flags: int
) -> None:
    intent = Intent(change, NodeId(directory), name, before, new, new_name, new_before, flags)
    assert Intent.unpack(intent.pack()) == intent


def test_the_first_time_there_is_nothing_to_be_told(board: Scoreboard) -> None:
    slot = board.slot(3)
    assert Intents(board, slot).begin(MKDIR) is None
    assert Intent.unpack(slot.intent()) == MKDIR


def test_the_second_time_what_the_dead_worker_found_counts(board: Scoreboard) -> None:
    leave_behind(board, MKDIR)
    slot = board.slot(1)
    now = Intent(Change.MKDIR, NodeId(7), b"d", before=99)  # the dead worker's own directory
    assert Intents(board, slot).begin(now) == MKDIR
    assert Intent.unpack(slot.intent()) == MKDIR
    assert board.recovered == 0


def test_a_worker_that_dies_on_the_second_time_passes_it_on(board: Scoreboard) -> None:
    leave_behind(board, MKDIR)
    second = board.slot(1)
    Intents(board, second).begin(MKDIR)
    board.add_recovered(second.intent())
    assert Intents(board, board.slot(2)).begin(MKDIR) == MKDIR


@pytest.mark.parametrize(
    "other",
    [
        Intent(Change.MKDIR, NodeId(7), b"e"),
        Intent(Change.RMDIR, NodeId(7), b"d"),
        Intent(Change.RENAME, NodeId(8), b"d", new_directory=7, new_name=b"d"),
    ],
)
def test_another_change_of_the_directory_shows_that_it_will_not_come(board: Scoreboard, other: Intent) -> None:
    leave_behind(board, MKDIR)
    assert Intents(board, board.slot(1)).begin(other) is None
    assert Intents(board, board.slot(1)).begin(MKDIR) is None


def test_changes_elsewhere_leave_it_alone(board: Scoreboard) -> None:
    leave_behind(board, MKDIR)
    assert Intents(board, board.slot(1)).begin(Intent(Change.MKDIR, NodeId(8), b"d")) is None
    assert Intents(board, board.slot(1)).begin(MKDIR) == MKDIR


def test_more_deaths_than_there_is_room_for_keep_the_list_bounded(board: Scoreboard) -> None:
    for number in range(MAX_RECOVERED + 5):
        leave_behind(board, Intent(Change.MKDIR, NodeId(1000 + number), b"d"))
    assert len(board.recovered_intents()) == MAX_RECOVERED
