"""The route of events."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from api.auth import guarded_router
from api.shares import Control
from appliance.control_checks import EventsReply, ListEvents
from appliance.events import Event

router = guarded_router(prefix="/v1/events", tag="events")


class EventList(BaseModel):
    """What happened."""

    events: tuple[Event, ...] = Field(description="The events, the newest first.")


@router.get("")
async def list_events(
    supervisor: Control,
    share: Annotated[str | None, Query(description="Only those of this share.", max_length=255)] = None,
    kind: Annotated[str | None, Query(description="Only those of this kind.", max_length=100)] = None,
    since: Annotated[float | None, Query(description="Only those from then on, in seconds since the epoch.")] = None,
    limit: Annotated[int, Query(description="At most so many.", ge=1, le=1000)] = 100,
) -> EventList:
    """List events, the newest first; the last ten thousand are kept."""
    question = ListEvents(share=share, kind=kind, since=since, limit=limit)
    return EventList(events=(await supervisor.ask(question, EventsReply)).events)
