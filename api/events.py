"""The routes of events: as a list, and live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.auth import guarded_router
from api.control_client import ControlClient
from api.problems import ApiError, responses
from api.shares import Control
from appliance.control.checks import EventsReply, ListEvents, WaitEvents
from appliance.state.events import Event, EventFilter

router = guarded_router(prefix="/v1/events", tag="events")

_BEAT_SECONDS = 15.0
_AT_ONCE = 100
_EVENT_STREAM = "text/event-stream"


class EventList(BaseModel):
    """What happened."""

    events: tuple[Event, ...] = Field(description="The events, the newest first.")


def _filter(
    share: Annotated[str | None, Query(description="Only those of this share.", max_length=255)] = None,
    kind: Annotated[str | None, Query(description="Only those of this kind.", max_length=100)] = None,
    by: Annotated[str | None, Query(description="Only what this one has asked for.", max_length=100)] = None,
    since: Annotated[float | None, Query(description="Only those from then on, in seconds since the epoch.")] = None,
) -> EventFilter:
    return EventFilter(share=share, kind=kind, by=by, since=since)


Filter = Annotated[EventFilter, Depends(_filter)]


@router.get("", responses=responses())
async def list_events(
    supervisor: Control,
    wanted: Filter,
    limit: Annotated[int, Query(description="At most so many.", ge=1, le=1000)] = 100,
) -> EventList:
    """List events, the newest first; the last ten thousand are kept."""
    return EventList(events=(await supervisor.ask(ListEvents(filter=wanted, limit=limit), EventsReply)).events)


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        **responses(),
        200: {
            "description": "Events as they happen: `id` is the event's, `event` its kind, `data` its JSON object.",
            "content": {_EVENT_STREAM: {"schema": {"type": "string"}}},
        },
    },
)
async def stream_events(
    request: Request,
    supervisor: Control,
    wanted: Filter,
    last_event_id: Annotated[
        int | None, Header(description="Go on after this event; without it, from now on.", ge=0, le=2**53)
    ] = None,
) -> StreamingResponse:
    """Send events as they happen (server-sent events), for as long as the credentials are good."""
    after = last_event_id
    if after is None:
        after = (await supervisor.ask(WaitEvents(after=None, filter=wanted, seconds=0), EventsReply)).last
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_live(request, supervisor, wanted, after), media_type=_EVENT_STREAM, headers=headers)


async def _live(request: Request, supervisor: ControlClient, wanted: EventFilter, after: int) -> AsyncIterator[str]:
    yield ": events\n\n"  # so that a proxy passes the head of the answer on
    while True:
        try:
            question = WaitEvents(after=after, filter=wanted, seconds=_BEAT_SECONDS, limit=_AT_ONCE)
            found = await supervisor.ask(question, EventsReply)
            await request.app.state.authenticator.principal(request)  # the token may have been revoked since
        except ApiError:
            return  # whoever listens comes again, and is told
        for event in found.events:
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
        if not found.events:
            yield ": nothing new\n\n"
        after = found.last
