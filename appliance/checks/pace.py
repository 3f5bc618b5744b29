"""Backing off: a steady, modest rate, and when the share is too busy for that, pauses that grow with its load.

At this rate a check of 1,000 samples takes a second and a quarter, and its requests are a few hundredths of those that
a share's workers can answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_BATCH = 20
_SECONDS = 0.025  # for each batch, pause and all
_BACK_OFF = 2.0  # seconds of pause for each second of work, once that takes longer
_LONGEST = 2.0  # seconds


class Pace:
    """Call it after each piece of work; it sleeps now and then."""

    def __init__(
        self,
        seconds: float = _SECONDS,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`seconds` are for each batch of twenty; 0 for no pauses at all."""
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._done = 0
        self._since = clock()

    def __call__(self) -> None:
        """Sleep if it is time to."""
        self._done += 1
        if self._done % _BATCH == 0:
            worked = self._clock() - self._since
            if self._seconds:
                self._sleep(pause(worked, self._seconds))
            self._since = self._clock()


def pause(worked: float, seconds: float) -> float:
    """Return how long to pause after a batch that took `worked` seconds and should have taken `seconds` at most."""
    return seconds - worked if worked <= seconds else min(worked * _BACK_OFF, _LONGEST)
