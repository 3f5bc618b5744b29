"""Events: what happened that somebody may want to know of later, kept in the state database, the oldest given up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import Field

from appliance.errors import StateError
from appliance.logs import facts
from appliance.model.frozen import Frozen
from appliance.state.database import Database

SCHEMA = (
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        kind TEXT NOT NULL,
        share TEXT,
        message TEXT NOT NULL,
        data TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX events_by_share ON events (share, id)",
)

# Since schema version 3. What happened of itself was asked for by nobody.
SCHEMA_ASKER = ("ALTER TABLE events ADD COLUMN asker TEXT NOT NULL DEFAULT ''",)

_LOG = facts(__name__)
KEPT = 10_000

_SELECT = (
    "SELECT id, time, kind, share, message, data, asker FROM events"
    " WHERE (:share IS NULL OR share = :share) AND (:kind IS NULL OR kind = :kind)"
    " AND (:by IS NULL OR asker = :by) AND (:since IS NULL OR time >= :since)"
)

Data = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class NewEvent:
    """What is to be recorded; `by` is who asked for it, empty if nobody did."""

    kind: str
    message: str
    share: str | None = None
    data: Data = field(default_factory=dict)
    by: str = ""


class EventFilter(Frozen):
    """Which events are wanted: those that fit all that is given. `since` is in seconds since the epoch."""

    share: str | None = None
    kind: str | None = None
    by: str | None = None
    since: float | None = None


class Event(Frozen):
    """Something that happened."""

    id: int = Field(description="Grows by every event; never used again.")
    time: float = Field(description="When, in seconds since the epoch.")
    kind: str = Field(description="Stable name of what happened, for programs.", examples=["handle-drift"])
    share: str | None = Field(description="The share it happened to; null if it is not about one.")
    message: str = Field(description="What happened, for people.")
    by: str = Field(
        default="",
        description="Who asked for it: `token NAME`, `token file`, or `uid N` of the unix socket; empty if nobody did.",
        examples=["token backup"],
    )
    data: dict[str, str | int | float | bool | None] = Field(description="Details, for programs.")


class Events:
    """The table of events. Methods block for milliseconds and may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_record: Callable[[], None] = lambda: None
        """Called after each event, by whatever thread has recorded it."""

    def add(self, kind: str, message: str, share: str | None = None, data: Data | None = None) -> None:
        """Record an event that nobody asked for; what a state volume without room does not take is only logged."""
        try:
            self.record(NewEvent(kind, message, share, data or {}))
        except StateError as error:  # it has happened all the same, and whoever tells it goes on
            _LOG.error("an event cannot be recorded", event=kind, share=share, reason=error.message)

    def record(self, event: NewEvent) -> None:
        """Record an event. Raises StateError."""
        row = (time.time(), event.kind, event.share, event.message, json.dumps(dict(event.data)), event.by)
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO events (time, kind, share, message, data, asker) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            connection.execute("DELETE FROM events WHERE id <= ?", ((cursor.lastrowid or 0) - KEPT,))
        self.on_record()

    def newest(self, wanted: EventFilter | None = None, limit: int = 100) -> list[Event]:
        """Return the newest events that fit, at most `limit`, the newest first."""
        return self._select(wanted or EventFilter(), "id > :after ORDER BY id DESC", 0, limit)

    def after(self, number: int | None, wanted: EventFilter, limit: int) -> tuple[list[Event], int]:
        """Return the first events after a number that fit, and the number to go on from; None: nothing but that."""
        with self._database.transaction() as connection:
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
        if number is None:
            return [], newest
        found = self._select(wanted, "id > :after ORDER BY id", number, limit)
        # What does not fit need not be looked at again, unless more than `limit` fit.
        return found, found[-1].id if len(found) == limit else max(newest, number, *(event.id for event in found))

    def _select(self, wanted: EventFilter, which: str, after: int, limit: int) -> list[Event]:
        values = {**wanted.model_dump(), "after": after, "limit": limit}
        with self._database.transaction() as connection:
            rows = connection.execute(f"{_SELECT} AND {which} LIMIT :limit", values).fetchall()
        return [
            Event(id=number, time=when, kind=kind_, share=of, message=message, data=json.loads(data), by=by)
            for number, when, kind_, of, message, data, by in rows
        ]
