"""The state database: what shall be, kept on the state volume (SQLite, write-ahead log)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

from appliance.errors import RequestError
from appliance.fuse.key import new_key
from appliance.fuse.source_id import Backing, SourceId
from appliance.model import Share
from appliance.model.server import ServerSettings
from appliance.state.records import Fsid, Identity, Put, ShareRecord, identity, record
from appliance.state.schema import MIGRATIONS, PRECIOUS
from appliance.state.state_file import StateFile

_SELECT = "SELECT document, created, changed, owner, fsid, codec, key, source_id FROM shares JOIN fsids USING (fsid)"


class _Rehearsed(Exception):
    """Ends a transaction that shall leave nothing behind."""


class Store:
    """The state database. Methods block for milliseconds and may be called from any thread, one at a time inside."""

    def __init__(self, path: Path | str) -> None:
        """Open or make the database and bring its schema up to date; raises StateError."""
        self._file = StateFile(Path(path), MIGRATIONS, PRECIOUS)
        self._lock = self._file.lock
        self._db = self._file.connection

    def close(self) -> None:
        """Close the database; the log is folded into it."""
        self._file.close()

    @property
    def restored(self) -> str:
        """Why the shares had to be restored from their copy when this was opened; empty if they had not."""
        return self._file.restored

    @property
    def version(self) -> int:
        """The schema version of the database."""
        return self._file.version

    def shares(self) -> list[ShareRecord]:
        """All shares, by name."""
        with self._lock:
            return [record(*row) for row in self._db.execute(f"{_SELECT} ORDER BY shares.name")]

    def share(self, name: str) -> ShareRecord:
        """One share; raises RequestError `share-not-found`."""
        with self._lock:
            return self._share(name)

    def revoked_keys(self, fsid: Fsid) -> tuple[bytes, ...]:
        """The keys that the handles under this fsid had before, the last one first."""
        with self._lock:
            rows = self._db.execute("SELECT key FROM revoked_keys WHERE fsid = ? ORDER BY rowid DESC", (str(fsid),))
            return tuple(row[0] for row in rows)

    def known_fsids(self) -> dict[UUID, str]:
        """All fsids ever given to a share, with the share's name."""
        with self._lock:
            return {UUID(fsid): name for fsid, name in self._db.execute("SELECT fsid, name FROM fsids")}

    def check_free(self, name: str) -> None:
        """Raise RequestError `share-exists` if there is a share of that name."""
        with self._lock:
            taken = self._db.execute("SELECT 1 FROM shares WHERE name = ?", (name,)).fetchone()
        if taken:
            raise RequestError(
                f"name: there is a share named {name} already",
                "choose another name, or change the share with PATCH",
                code="share-exists",
                field="name",
            )

    def change(
        self, puts: Sequence[Put], removed: Collection[str] = (), *, rehearse: bool = False
    ) -> list[ShareRecord]:
        """Take shares out and put others in or in the place of those of their names, all or none; return all there are.

        Raises RequestError `share-not-found` for one that is to be removed and is not there. When it is a rehearsal
        nothing is changed, and fsids that would have been made are others the next time.
        """
        found: list[ShareRecord] = []
        with suppress(_Rehearsed), self._file.changing():
            for name in removed:
                self._share(name)
                self._db.execute("DELETE FROM shares WHERE name = ?", (name,))
            for put in puts:
                self._put(put)
            found = [record(*row) for row in self._db.execute(f"{_SELECT} ORDER BY shares.name")]
            if rehearse:
                raise _Rehearsed
        return found

    def _put(self, put: Put) -> None:
        share, now = put.share, time.time()
        row = self._db.execute(f"{_SELECT} WHERE shares.name = ?", (share.name,)).fetchone()
        old = record(*row) if row else None
        if old is not None and old.share.source == share.source:
            identity = old.identity
        elif put.backing is None:
            raise ValueError("nothing is known of the new source")
        else:
            identity = self._identity(share, put.backing, now)
        # Not INSERT OR REPLACE, which would be a removal in between and a row at another place.
        self._db.execute(
            "INSERT INTO shares (name, fsid, document, created, changed, owner) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET fsid = excluded.fsid, document = excluded.document, "
            "changed = excluded.changed, owner = excluded.owner",
            (share.name, str(identity.fsid), share.model_dump_json(), old.created if old else now, now, put.owner),
        )

    def accept(self, name: str, backing: Backing) -> ShareRecord:
        """Have a share be about what its source is now; raises RequestError `share-not-found`.

        What was another filesystem gets another identity: no handle of old opens a file of it.
        """
        now = time.time()
        with self._file.changing():
            old = self._share(name)
            identity = self._identity(old.share, backing, now)
            self._db.execute(
                "UPDATE shares SET fsid = ?, changed = ? WHERE name = ?", (str(identity.fsid), now, name)
            )
        return replace(old, identity=identity, changed=now)

    def learn(self, name: str, source_id: SourceId) -> None:
        """Keep what a share's source is, if that is not known yet. Raises RequestError `share-not-found`."""
        with self._file.changing():
            self._learn(self._share(name).identity.fsid, source_id)

    def _learn(self, fsid: Fsid, source_id: SourceId) -> None:
        self._db.execute(
            "UPDATE fsids SET source_id = ? WHERE fsid = ? AND source_id IS NULL", (source_id.to_json(), str(fsid))
        )

    def rotate_key(self, name: str) -> ShareRecord:
        """Give a share another key: none of its handles is good any more. Raises RequestError `share-not-found`."""
        now, key = time.time(), new_key()
        with self._file.changing():
            old = self._share(name)
            self._db.execute("UPDATE fsids SET key = ? WHERE fsid = ?", (key, str(old.identity.fsid)))
            self._db.execute("UPDATE shares SET changed = ? WHERE name = ?", (now, name))
        return replace(old, identity=replace(old.identity, key=key), changed=now)

    def server(self) -> ServerSettings:
        """What was set of the NFS server."""
        with self._lock:
            row = self._db.execute("SELECT document FROM server").fetchone()
        return ServerSettings.model_validate_json(row[0]) if row else ServerSettings()

    def set_server(self, wanted: ServerSettings) -> None:
        """Keep what is set of the NFS server."""
        with self._file.changing():
            self._db.execute("DELETE FROM server")
            self._db.execute("INSERT INTO server VALUES (?)", (wanted.model_dump_json(),))

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction on rows that are kept twice and are not this module's: tokens. Raises StateError."""
        with self._file.changing():
            yield self._db

    def _share(self, name: str) -> ShareRecord:
        row = self._db.execute(f"{_SELECT} WHERE shares.name = ?", (name,)).fetchone()
        if row is None:
            raise RequestError(f"there is no share named {name}", "GET /v1/shares lists them", code="share-not-found")
        return record(*row)

    def _identity(self, share: Share, backing: Backing, now: float) -> Identity:
        """Return the identity that is reserved for such a share, or reserve a new one."""
        codec, source_id = backing
        rows = self._db.execute(
            "SELECT fsid, codec, key, source_id FROM fsids WHERE name = ? AND source = ?", (share.name, share.source)
        )
        for known in (identity(*row) for row in rows):
            # What else a codec depends on was settled when it was first chosen.
            same_codec = (known.codec.kind, known.codec.subvolume) == (codec.kind, codec.subvolume)
            if same_codec and known.source_id is None:
                self._learn(known.fsid, source_id)
                return replace(known, source_id=source_id)
            if same_codec and known.source_id and known.source_id.is_proved_by(source_id):
                return known
        made = Identity(Fsid(uuid4()), codec, new_key(), source_id)
        row = (str(made.fsid), share.name, share.source, codec.to_json(), made.key, now, source_id.to_json())
        self._db.execute("INSERT INTO fsids VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return made
