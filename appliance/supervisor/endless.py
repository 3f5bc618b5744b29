"""Parts that are to run for as long as the supervisor does, whatever goes wrong in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from appliance.backoff import Backoff
from appliance.logs import facts

_LOG = facts(__name__)


async def endless(run: Callable[[], Awaitable[None]], what: str) -> None:
    """Run a part, and again whenever it has ended, until cancelled: the state may be out of reach for a moment only."""
    backoff = Backoff(first=1.0)
    while True:
        try:
            await run()
            reason = "it has returned"
        except Exception as error:  # noqa: BLE001 - whatever it is, the part is needed
            reason = repr(error)
        delay = backoff.after_failure(time.monotonic())
        _LOG.error("a part of the supervisor has ended", part=what, reason=reason, again_in_seconds=delay)
        await asyncio.sleep(delay)
