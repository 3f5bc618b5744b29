"""The state database's tables, and how a database of an earlier release gets them."""

from __future__ import annotations

from appliance.state import check_store, events, tokens

# One entry per schema version; entry N takes a database from version N to N + 1. Entries are only ever appended.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE fsids (
            fsid TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            source TEXT NOT NULL,
            codec TEXT NOT NULL,
            key BLOB NOT NULL,
            reserved REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX fsids_by_share ON fsids (name, source)",
        """CREATE TABLE shares (
            name TEXT PRIMARY KEY,
            fsid TEXT NOT NULL UNIQUE REFERENCES fsids (fsid),
            document TEXT NOT NULL,
            created REAL NOT NULL,
            changed REAL NOT NULL
        ) STRICT""",
    ),
    (
        *check_store.SCHEMA,
        *events.SCHEMA,
        # Keys that were changed on purpose, so that a handle of old can be told from a forged one. A trigger, because
        # no way of changing a key may forget it.
        """CREATE TABLE revoked_keys (
            fsid TEXT NOT NULL REFERENCES fsids (fsid),
            key BLOB NOT NULL,
            revoked REAL NOT NULL
        ) STRICT""",
        """CREATE TRIGGER keys_are_remembered AFTER UPDATE OF key ON fsids WHEN OLD.key != NEW.key BEGIN
            INSERT INTO revoked_keys VALUES (OLD.fsid, OLD.key, unixepoch());
        END""",
    ),
    (*tokens.SCHEMA, *events.SCHEMA_ASKER),
    # What is at a source proves itself from here on. Of older shares it is learned when they are next served.
    ("ALTER TABLE fsids ADD COLUMN source_id TEXT",),
    ("ALTER TABLE shares ADD COLUMN owner TEXT NOT NULL DEFAULT 'api'",),
    ("CREATE TABLE server (document TEXT NOT NULL) STRICT",),
    # From here on the copy has the server's settings and the tokens as well. A release that knows nothing of that must
    # not take the database and its copy for two that differ.
    (),
)

# What nothing else tells, each after what it refers to; see appliance.state.precious.
PRECIOUS = ("fsids", "revoked_keys", "shares", "server", "tokens")
