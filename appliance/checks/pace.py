"""Backing off: whoever checks is idle for several times as long as it works.

A busy share answers slowly, so the pauses grow with its load by themselves, and what a check takes from the share's
workers stays below a fixed part.
"""

from __future__ import annotations

import time

_IDLE = 4.0  # seconds of pause for each second of work
_BATCH = 20
_LONGEST = 2.0  # seconds


class Pace:
    """Call it after each piece of work; it sleeps now and then."""

    def __init__(self, idle: float = _IDLE) -> None:
        self._idle = idle
        self._done = 0
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Sleep if it is time to."""
        self._done += 1
        if self._done % _BATCH == 0:
            worked = time.perf_counter() - self._since
            time.sleep(min(worked * self._idle, _LONGEST))
            self._since = time.perf_counter()
