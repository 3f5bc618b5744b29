"""How long to wait before starting again what keeps dying."""

from __future__ import annotations

_FREE = 3  # deaths in a row that cost no waiting
_FIRST = 0.1  # seconds
_LONGEST = 5.0
_FORGET = 10.0  # seconds without a death after which the past is forgotten


class Backoff:
    """Counts deaths in a row. Whoever had served requests died of something from outside, which does not count."""

    def __init__(self) -> None:
        self._deaths = 0
        self._last = float("-inf")

    def after_death(self, now: float, *, served: bool) -> float:
        """Return for how many seconds to wait, 0 for not at all; `now` is any steady clock's."""
        if served or now - self._last > _FORGET:
            self._deaths = 0
        self._last = now
        if not served:
            self._deaths += 1
        over = self._deaths - _FREE
        return 0.0 if over <= 0 else min(_FIRST * 2.0 ** (over - 1), _LONGEST)
