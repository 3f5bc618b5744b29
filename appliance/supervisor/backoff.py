"""How long to wait before the next try of what keeps failing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling delays in seconds, from `first` to `longest`; forgotten after `healthy` seconds without a failure."""

    first: float = 0.2
    longest: float = 30.0
    healthy: float = 60.0
    _delay: float = 0.0
    _last: float = float("-inf")

    def after_failure(self, now: float) -> float:
        """Return how long to wait; `now` is any steady clock's."""
        if now - self._last > self.healthy + self._delay:
            self._delay = 0.0
        self._last = now
        self._delay = min(self._delay * 2 or self.first, self.longest)
        return self._delay
