"""How long to wait before the next try of what keeps failing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling delays in seconds, from `first` to `longest`, after `free` failures that cost no waiting.

    Forgotten after `healthy` seconds without a failure.
    """

    first: float = 0.2
    longest: float = 30.0
    healthy: float = 60.0
    free: int = 0
    _failures: int = 0
    _last: float = float("-inf")

    def after_failure(self, now: float) -> float:
        """Return how long to wait, 0 for not at all; `now` is any steady clock's."""
        if now - self._last > self.healthy + self._delay():
            self.forget()
        self._last = now
        self._failures += 1
        return self._delay()

    def forget(self) -> None:
        """Begin anew: what failed was not to blame."""
        self._failures = 0

    def _delay(self) -> float:
        over = self._failures - self.free
        return 0.0 if over <= 0 else float(min(self.first * 2.0 ** (over - 1), self.longest))
