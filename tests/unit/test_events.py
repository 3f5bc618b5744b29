"""Events: who asked for what, waiting for the next, and the live stream over a real socket."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from api.app import create_app
from api.control_client import ControlClient
from appliance.control.access import Authenticate, MakeToken
from appliance.control.checks import EventsReply, WaitEvents
from appliance.control.config import ApplyConfig
from appliance.control.messages import CreateShare, DeleteShare, ListShares, Request, RotateKey, UpdateShare
from appliance.control.server_settings import UpdateServer
from appliance.model import Config, Share, ShareChanges
from appliance.model.server import ServerChanges
from appliance.state.database import Database
from appliance.state.events import Event, EventFilter, Events, NewEvent
from appliance.state.store import Store
from appliance.state.tokens import PREFIX, TokenWanted
from appliance.supervisor.audit import event_of
from appliance.supervisor.event_feed import EventFeed
from tests.support.played_supervisor import Supervisor
from tests.unit.test_api import TOKEN, anonymous, client, error, supervisor
from tests.unit.test_api_access import bearer, served

__all__ = ["anonymous", "client", "supervisor"]  # fixtures


@pytest.fixture
def events(tmp_path: Path) -> Events:
    Store(tmp_path / "db").close()
    return Events(Database(tmp_path / "db"))


def test_events_are_found_by_who_asked(events: Events) -> None:
    events.record(NewEvent("share-added", "m", "a", by="token x"))
    events.add("finding", "m", "a")
    assert [event.kind for event in events.newest(EventFilter(by="token x"))] == ["share-added"]
    assert [event.by for event in events.newest()] == ["", "token x"]


def test_events_after_one_come_in_order(events: Events) -> None:
    nothing = EventFilter()
    assert events.after(None, nothing, 10) == ([], 0)
    for number in range(5):
        events.add("odd" if number % 2 else "even", str(number))
    found, last = events.after(1, nothing, 2)
    assert ([event.id for event in found], last) == ([2, 3], 3)
    found, last = events.after(3, EventFilter(kind="odd"), 10)
    assert ([event.id for event in found], last) == ([4], 5)  # 5 does not fit and is not asked for again
    assert events.after(None, nothing, 10) == ([], 5)


def test_who_waits_is_answered_when_there_is_something(events: Events) -> None:
    async def body() -> None:
        feed = EventFeed(events)
        waiting = asyncio.create_task(feed.answer(WaitEvents(after=0, filter=EventFilter(kind="b"), seconds=60)))
        await asyncio.sleep(0)
        await asyncio.to_thread(events.add, "a", "does not fit")
        await asyncio.to_thread(events.add, "b", "fits")
        async with asyncio.timeout(30):
            reply = await waiting
        assert ([event.message for event in reply.events], reply.last) == (["fits"], 2)
        assert await feed.answer(WaitEvents(after=2, seconds=0.01)) == EventsReply(events=(), last=2)

    asyncio.run(body())


def test_what_changes_something_is_recorded_with_who_asked_and_no_secret() -> None:
    share = Share(name="a", source="/srv/a")
    made = event_of(CreateShare(share=share), "token x")
    assert made == NewEvent("share-added", "the share was added: /srv/a", "a", by="token x")
    changed = event_of(UpdateShare(name="a", changes=ShareChanges.model_validate({"workers": 4})), "uid 0")
    assert changed is not None
    assert (changed.message, changed.by) == ("the share was changed: workers", "uid 0")
    assert event_of(RotateKey(name="a"), "") is not None
    token = event_of(MakeToken(wanted=TokenWanted(name="t", role="admin")), "token file")
    assert token is not None
    assert PREFIX not in repr(token)
    assert event_of(ListShares(), "x") is None
    assert event_of(Authenticate(digest="0" * 64), "x") is None


REHEARSED = (
    CreateShare(share=Share(name="a", source="/srv/a"), dry_run=True),
    UpdateShare(name="a", changes=ShareChanges(), dry_run=True),
    DeleteShare(name="a", dry_run=True),
    ApplyConfig(config=Config(shares=()), dry_run=True),
    UpdateServer(changes=ServerChanges(threads=4), dry_run=True),
)


@pytest.mark.parametrize("rehearsal", REHEARSED, ids=lambda request: request.op)
def test_a_rehearsal_is_not_recorded_as_a_change(rehearsal: Request) -> None:
    assert event_of(rehearsal, "x") is None
    assert event_of(rehearsal.model_copy(update={"dry_run": False}), "x") is not None


def test_every_request_that_can_be_rehearsed_is_among_those() -> None:
    schemas = TypeAdapter[Request](Request).json_schema()["$defs"]
    assert {name for name, schema in schemas.items() if "dry_run" in schema.get("properties", {})} == {
        type(request).__name__ for request in REHEARSED
    }


def event(number: int, kind: str = "share-added") -> Event:
    return Event(id=number, time=1.0, kind=kind, share="a", message="two\nlines", by="token x", data={})


def test_the_stream_tells_events_as_they_happen(supervisor: Supervisor) -> None:
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    supervisor.tokens["t"] = (f"{PREFIX}t", "read")
    supervisor.stream = [event(7)]
    with served(app, None) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/v1/events/stream", headers={**bearer(f"{PREFIX}t"), "Last-Event-ID": "6"})
        response = connection.getresponse()
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")

        def next_event() -> dict[str, str]:
            fields: dict[str, str] = {}
            while (line := response.readline().decode()) != "\n" or not fields:
                assert line, "the stream has ended"
                name, separator, value = line.rstrip("\n").partition(": ")
                if separator and name:
                    fields[name] = value
            return fields

        first = next_event()
        assert (first["id"], first["event"]) == ("7", "share-added")
        assert json.loads(first["data"]) == event(7).model_dump()  # a newline in it ends no field
        supervisor.stream = [event(7), event(9, "key-rotated")]
        assert next_event()["id"] == "9"
        del supervisor.tokens["t"]  # revoked: the stream ends
        while response.readline():
            pass
        connection.close()


def test_the_stream_begins_with_what_comes_next(supervisor: Supervisor) -> None:
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    supervisor.stream = [event(7)]
    with served(app, None) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/v1/events/stream?kind=x", headers=bearer(TOKEN))
        response = connection.getresponse()
        while b"nothing new" not in response.readline():
            pass
        connection.close()
    (asked, *_) = [request for request in supervisor.requests if isinstance(request, WaitEvents)]
    waited = [request for request in supervisor.requests if isinstance(request, WaitEvents) and request.seconds]
    assert (asked.after, waited[0].after, waited[0].filter.kind) == (None, 7, "x")


@pytest.mark.parametrize("value", ["x", "-1", "1" * 30])
def test_a_stream_from_nowhere_is_refused(client: TestClient, value: str) -> None:
    error(client.get("/v1/events/stream", headers={"Last-Event-ID": value}), 422)
