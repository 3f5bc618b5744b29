"""What a person sees while something takes long: one line when it starts, signs of life, one when it is done.

Everything goes to standard error, because standard output belongs to what was asked for (a script's own output).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK_SECONDS = 10.0


def say(text: str) -> None:
    """Write one line for the person at the terminal."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Step:
    """One thing that is being done, and the last that was heard of it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.latest = ""
        self._started = time.monotonic()
        self._over = threading.Event()

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def heard(self, line: str) -> None:
        """Keep the last line a command printed, for the next sign of life."""
        if text := line.strip():
            self.latest = text[:100]

    def tick(self) -> None:
        """Give a sign of life until the step is over."""
        while not self._over.wait(TICK_SECONDS):
            say(f"  ... {self.seconds:.0f} s  {self.latest}".rstrip())

    def finish(self) -> None:
        """Stop the signs of life."""
        self._over.set()


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Announce what begins, show that it goes on, and say how long it took; silent about the end if it fails."""
    say(f"{title} ...")
    current = Step(title)
    ticker = threading.Thread(target=current.tick, daemon=True)
    ticker.start()
    try:
        yield current
    finally:
        current.finish()
        ticker.join()
    say(f"  done in {current.seconds:.1f} s")
