"""The scoreboard, seen by two processes that share it."""

import os

from appliance.fuse.scoreboard import Scoreboard, Word


def test_what_one_writes_the_other_reads() -> None:
    ours = Scoreboard.create()
    theirs = Scoreboard(os.dup(ours.fd))
    words = ours.slot(5).words
    words[Word.PID], words[Word.SERVING], words[Word.REQUESTS] = 4711, 1, 2**40
    status = theirs.slot(5).status()
    assert (status.pid, status.serving, status.busy, status.requests) == (4711, True, False, 2**40)
    assert theirs.slot(4).status().pid == 0
    theirs.draining = True
    assert ours.draining


def test_an_intent_is_there_until_it_is_cleared() -> None:
    slot = Scoreboard.create().slot(0)
    assert slot.intent() == b""
    slot.write_intent(b"x" * 4000)
    assert slot.intent() == b"x" * 4000
    slot.clear_intent()
    assert slot.intent() == b""


def test_removed_nodes_are_told_once_each_in_order() -> None:
    board = Scoreboard.create()
    slot = board.slot(2)
    before = bytes(board.removal_counts(3))
    for node in (11, 12, 13):
        slot.announce_removed(node)
    assert slot.removed_since(1) == [12, 13]
    assert slot.removed_since(3) == []
    assert board.removal_counts(3) != before
    assert board.removal_counts(2) == before[:16]


def test_who_missed_too_many_removals_is_told_so() -> None:
    slot = Scoreboard.create().slot(0)
    for node in range(2000):
        slot.announce_removed(node)
    assert slot.removed_since(0) is None
    assert slot.removed_since(1999) == [1999]


def test_clearing_a_slot_keeps_what_was_removed() -> None:
    slot = Scoreboard.create().slot(0)
    slot.announce_removed(5)
    slot.words[Word.BUSY] = 1
    slot.write_intent(b"x")
    slot.clear()
    assert (slot.words[Word.BUSY], slot.intent(), slot.removed_since(0)) == (0, b"", [5])
