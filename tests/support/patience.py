"""Waiting for what must come, on a machine of any speed: no test judges how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SECONDS: Final = 120.0  # after which it does not come any more, however slow the machine is
_NAP = 0.02


def until(condition: Callable[[], object], complaint: str) -> None:
    """Look until the condition is true. Raises AssertionError with the complaint when it never is."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(_NAP)
