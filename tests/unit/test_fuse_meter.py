"""What workers count, seen by whoever shares the memory."""

from __future__ import annotations

import os

import pytest

from appliance.fuse.meter import BOUNDS, BUCKETS, MOST_OPERATIONS, OperationTotals, Totals
from appliance.fuse.operation_numbers import OPERATIONS
from appliance.fuse.scoreboard import MAX_WORKERS, Scoreboard, Word


def test_there_is_room_for_every_operation() -> None:
    assert len(OPERATIONS) <= MOST_OPERATIONS


def test_nothing_is_counted_at_first() -> None:
    assert Scoreboard.create().totals() == Totals()


def test_what_workers_count_is_added_up() -> None:
    ours = Scoreboard.create()
    theirs = Scoreboard(os.dup(ours.fd))
    for index in (0, MAX_WORKERS - 1):
        meter = ours.slot(index).meter
        meter.took(3, 10_000)
        meter.took(3, 20_000)
        meter.took(MOST_OPERATIONS - 1, 3 * 10**9)
        meter.failed(3)
    first, last = theirs.totals().operations
    assert (first.operation, first.count, first.errors) == (3, 4, 2)
    assert first.seconds == pytest.approx(60e-6)
    assert first.buckets[:3] == (2, 2, 0)
    assert (last.operation, last.count, last.errors) == (MOST_OPERATIONS - 1, 2, 0)


@pytest.mark.parametrize(
    ("nanoseconds", "bucket"),
    [(0, 0), (2**14 - 1, 0), (2**14, 1), (2**16 - 1, 1), (2**16, 2), (10**18, BUCKETS - 1)],
)
def test_a_request_is_in_the_bucket_whose_bound_it_is_below(nanoseconds: int, bucket: int) -> None:
    board = Scoreboard.create()
    board.slot(0).meter.took(0, nanoseconds)
    (operation,) = board.totals().operations
    assert operation.buckets == tuple(int(number == bucket) for number in range(BUCKETS))
    if bucket < BUCKETS - 1:
        assert nanoseconds / 1e9 <= BOUNDS[bucket]


def test_counts_outlive_workers() -> None:
    board = Scoreboard.create()
    slot = board.slot(1)
    slot.meter.took(0, 1)
    slot.words[Word.HITS], slot.words[Word.MISSES] = 5, 6
    assert (board.totals().cache_hits, board.totals().cache_misses) == (5, 6)
    slot.clear()
    slot.words[Word.HITS] = 1
    assert (board.totals().cache_hits, board.totals().cache_misses) == (6, 6)
    assert board.totals().operations == (OperationTotals(0, 0, 1e-9, (1, *(0,) * (BUCKETS - 1))),)
