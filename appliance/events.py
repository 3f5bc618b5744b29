"""Events: what happened that somebody may want to know of later, kept in the state database, the oldest given up."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from pydantic import Field

from appliance.database import Database
from appliance.frozen import Frozen

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

KEPT = 10_000

Data = Mapping[str, str | int | float | bool | None]


class Event(Frozen):
    """Something that happened."""

    id: int = Field(description="Grows by every event; never used again.")
    time: float = Field(description="When, in seconds since the epoch.")
    kind: str = Field(description="Stable name of what happened, for programs.", examples=["handle-drift"])
    share: str | None = Field(description="The share it happened to; null if it is not about one.")
    message: str = Field(description="What happened, for people.")
    data: dict[str, str | int | float | bool | None] = Field(description="Details, for programs.")


class Events:
    """The table of events. Methods block for milliseconds and may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, message: str, share: str | None = None, data: Data | None = None) -> None:
        """Record an event. Raises StateError."""
        row = (time.time(), kind, share, message, json.dumps(dict(data or {})))
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO events (time, kind, share, message, data) VALUES (?, ?, ?, ?, ?)", row
            )
            connection.execute("DELETE FROM events WHERE id <= ?", ((cursor.lastrowid or 0) - KEPT,))

    def list(
        self, share: str | None = None, kind: str | None = None, since: float | None = None, limit: int = 100
    ) -> list[Event]:
        """Return the newest events that fit, at most `limit`, the newest first. `since` is seconds since the epoch."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT id, time, kind, share, message, data FROM events"
                " WHERE (:share IS NULL OR share = :share) AND (:kind IS NULL OR kind = :kind)"
                " AND (:since IS NULL OR time >= :since) ORDER BY id DESC LIMIT :limit",
                {"share": share, "kind": kind, "since": since, "limit": limit},
            ).fetchall()
        return [
            Event(id=number, time=when, kind=kind_, share=of, message=message, data=json.loads(data))
            for number, when, kind_, of, message, data in rows
        ]
