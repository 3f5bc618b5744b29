"""Waiting for events: whoever asks for what comes next is answered when there is something, or after a while."""

from __future__ import annotations

import asyncio

from appliance.control.checks import EventsReply, WaitEvents
from appliance.state.events import Events
from appliance.supervisor.threads import in_thread


class EventFeed:
    """Answers WaitEvents. Made in the event loop that answers."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._recorded = asyncio.Event()
        events.on_record = self._wake

    async def answer(self, request: WaitEvents) -> EventsReply:
        """Return what was recorded after an event, the oldest first; wait for it if there is nothing yet."""
        deadline = self._loop.time() + request.seconds
        while True:
            recorded = self._recorded
            found, last = await in_thread(lambda: self._events.after(request.after, request.filter, request.limit))
            left = deadline - self._loop.time()
            if found or left <= 0:
                return EventsReply(events=tuple(found), last=last)
            try:
                async with asyncio.timeout(left):
                    await recorded.wait()
            except TimeoutError:
                return EventsReply(events=(), last=last)

    def _wake(self) -> None:
        """Called from whatever thread has recorded an event."""
        self._loop.call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        recorded, self._recorded = self._recorded, asyncio.Event()
        recorded.set()
