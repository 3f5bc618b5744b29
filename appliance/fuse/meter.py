"""What workers count of each operation: how many, how many failed, how long they took.

The counts are memory beside the scoreboard, one page for each slot, written by the slot's worker alone: to count costs
it a few additions, and nobody is asked. They are the share's, not a worker's, and go on when one dies; only a new mount
begins anew. Whoever reads may see one request counted and its time not yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns

BUCKETS = 12
"""Requests are sorted by how long they took: the first bucket is up to 2**14 ns (16 µs), each other four times longer,
the last without an end."""
BOUNDS = tuple((1 << 14 + 2 * number) / 1e9 for number in range(BUCKETS - 1))
"""The upper bounds of all buckets but the last, in seconds."""

MOST_OPERATIONS = 32
_ERRORS = 0
_NANOSECONDS = 1
_FIRST = 2  # the buckets
_WIDTH = _FIRST + BUCKETS
_CARRIED = MOST_OPERATIONS * _WIDTH  # hits and misses of the slot's former workers
WORDS = 512
"""64-bit words that a meter takes."""
_NOTHING = bytes(WORDS * 8)

now = perf_counter_ns


@dataclass(frozen=True)
class OperationTotals:
    """How often an operation was carried out, how often it failed, and how long it took, in seconds and by bucket."""

    operation: int
    errors: int
    seconds: float
    buckets: tuple[int, ...]

    @property
    def count(self) -> int:
        """How often it was carried out."""
        return sum(self.buckets)


@dataclass(frozen=True)
class Totals:
    """What all workers of a share have counted since it was mounted; only operations that there were."""

    operations: tuple[OperationTotals, ...] = ()
    cache_hits: int = 0
    cache_misses: int = 0


class Meter:
    """One slot's counts."""

    def __init__(self, words: memoryview) -> None:
        """`words` are WORDS words of shared memory."""
        self._words = words

    def took(self, operation: int, nanoseconds: int) -> None:
        """An operation has come to its end."""
        words, at = self._words, operation * _WIDTH
        words[at + _NANOSECONDS] += nanoseconds
        # Four times longer is two bits longer.
        bucket = ((nanoseconds >> 14).bit_length() + 1) >> 1
        words[at + _FIRST + (bucket if bucket < BUCKETS else BUCKETS - 1)] += 1

    def failed(self, operation: int) -> None:
        """It has failed, which is besides `took`."""
        self._words[operation * _WIDTH + _ERRORS] += 1

    def carry(self, hits: int, misses: int) -> None:
        """The slot's worker is gone: these are the last words of its descriptor cache."""
        self._words[_CARRIED] += hits
        self._words[_CARRIED + 1] += misses

    def read(self) -> list[int] | None:
        """Return the words, None if there is nothing in them."""
        return None if self._words.tobytes() == _NOTHING else self._words.tolist()


def totals(meters: Iterable[Meter], hits: int, misses: int) -> Totals:
    """Add up meters; `hits` and `misses` are those of the workers that live."""
    summed = [0] * WORDS
    for meter in meters:
        if (words := meter.read()) is not None:
            summed = [one + other for one, other in zip(summed, words, strict=True)]
    operations = (_operation(number, summed[number * _WIDTH :][:_WIDTH]) for number in range(MOST_OPERATIONS))
    return Totals(
        tuple(operation for operation in operations if any(operation.buckets)),
        hits + summed[_CARRIED],
        misses + summed[_CARRIED + 1],
    )


def _operation(number: int, words: Sequence[int]) -> OperationTotals:
    return OperationTotals(number, words[_ERRORS], words[_NANOSECONDS] / 1e9, tuple(words[_FIRST:]))
