"""The state database as a file: opened, brought up to date, changed, and restored when it is damaged (SQLite).

What must never be made anew is kept twice, see state.precious. Whichever of the two is younger and sound counts. If
neither is, the appliance refuses to start: to go on with new identities would make every handle stale without a word.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import StateError
from appliance.logs import facts
from appliance.state.precious import CopyDamaged, Precious, PreciousCopy

_LOG = facts(__name__)
_CHANGE = "CREATE TABLE IF NOT EXISTS precious_change (number INTEGER NOT NULL) STRICT"
_SIDES = ("", "-wal", "-shm")


class StateFile:
    """One connection; from any thread, one at a time inside."""

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]], precious: Sequence[str]) -> None:
        """Open, restore or make the database; raises StateError.

        Entry N of `migrations` takes it from schema version N to N + 1. `precious` names the tables that are kept
        twice, each after those that it refers to.
        """
        self.lock = threading.RLock()
        self._path = path
        self._migrations = migrations
        self._precious = precious
        self.restored = ""
        """Why the database had to be restored from its copy, as in `is missing`; empty if it had not."""
        self._copy = PreciousCopy(path.with_name(f"{path.stem}.copy"))
        try:
            copy, damage = self._read_copy()
            self.connection = self._sound(copy, damage)
            self._migrate(self.connection, len(migrations))
            if copy is None or copy.schema != len(migrations) or copy.tables.keys() != set(precious):
                self._copy_again()
            elif copy.change != _change_number(self.connection):
                self._catch_up()
        except sqlite3.Error as error:
            raise StateError(
                f"cannot use the state database {path}: {error}",
                "check that the state volume is writable and not full",
            ) from error

    def close(self) -> None:
        """Close the database; its log is folded into it."""
        with self.lock:
            self.connection.close()

    @property
    def version(self) -> int:
        """The schema version."""
        return _version(self.connection)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction on precious tables, rolled back on any error. Raises StateError."""
        with self.lock:
            try:
                with _atomically(self.connection):
                    yield
                    self._copy.prepare(self._next_change())
            except (sqlite3.Error, OSError) as error:
                raise StateError(
                    f"the state cannot be changed: {error}", "is the state volume full, or read-only?"
                ) from error
            try:
                self._copy.commit()
            except OSError as error:  # it is committed; the next change or start brings the copy up to date
                _LOG.error("the copy of the state is behind the database", database=self._path, reason=error)

    def _copy_again(self) -> None:
        with self.changing():
            pass  # a copy of what is there

    def _catch_up(self) -> None:
        """Bring a copy up to date that is behind, as after a death before it was put in force, or in a backup.

        What it lacks may be that a token was revoked, or a key changed, and would be undone with a damaged database.
        """
        try:
            self._copy_again()
        except StateError as error:  # the database is sound, and shares can be served without room for a copy
            _LOG.error("the copy of the state stays behind the database", database=self._path, reason=error.message)

    def _sound(self, copy: Precious | None, damage: str) -> sqlite3.Connection:
        """Return the database, or what the copy makes of it. Raises StateError if neither is sound."""
        present = self._path.exists() and self._path.stat().st_size > 0
        try:
            connection = _connect(self._path)
        except sqlite3.DatabaseError as error:
            reason = _damage(error)
        else:
            reason = self._fault(connection, copy) if present else "is missing"
            if not reason:
                return connection
            connection.close()
        if copy is None and (present or damage):
            raise StateError(
                f"the state database {self._path} {reason}, and there is no sound copy of it{damage}",
                f"restore the state volume from a backup; or move away {self._path.stem}.* to begin without shares, "
                "upon which every handle of every client is stale",
                code="state-damaged",
            )
        if copy is None:
            return _connect(self._path)  # the first start
        if copy.schema > len(self._migrations):
            raise StateError(
                f"the state database {self._path} {reason}, and its copy is of a newer release (schema {copy.schema})",
                "start that release, or a newer one",
            )
        self.restored = reason
        _LOG.error("the state database is restored from its copy", database=self._path, reason=reason)
        return self._restored(copy)

    def _fault(self, connection: sqlite3.Connection, copy: Precious | None) -> str:
        """Return what is wrong with a database, "" if nothing is."""
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                return f"is damaged ({verdict})"
            if copy is None:
                return ""
            known = _change_number(connection)
            if known < copy.change:
                return f"has lost what came after change {known}"
            # Only the tables of the copy: one that an earlier release has written has fewer of them.
            same_shape = known == copy.change and _version(connection) == copy.schema
            if same_shape and _rows(connection, copy.tables) != copy.tables:
                return "does not hold what was written"
        except sqlite3.DatabaseError as error:
            return _damage(error)
        return ""

    def _restored(self, copy: Precious) -> sqlite3.Connection:
        for side in _SIDES:  # for whoever wants to look at it
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._path}{side}", f"{self._path}.damaged{side}")
        connection = _connect(self._path)
        self._migrate(connection, copy.schema)
        with _atomically(connection):
            for table in self._precious:
                for row in copy.tables.get(table, ()):
                    places = ", ".join("?" * len(row))
                    connection.execute(f"INSERT INTO {table} VALUES ({places})", tuple(row))  # noqa: S608 - our names
            _set_change_number(connection, copy.change)
        return connection

    def _next_change(self) -> Precious:
        number = _change_number(self.connection) + 1
        _set_change_number(self.connection, number)
        return Precious(number, self.version, _rows(self.connection, self._precious))

    def _read_copy(self) -> tuple[Precious | None, str]:
        try:
            return self._copy.read(), ""
        except CopyDamaged as error:
            return None, f" ({error})"
        except OSError as error:
            raise StateError(f"the copy of the state cannot be read: {error}", "check the state volume") from error

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        if _version(connection) > len(self._migrations):
            raise StateError(
                f"the state database has schema {_version(connection)}, this release knows {len(self._migrations)}",
                "run the release that wrote it, or restore a backup made before the upgrade",
            )
        connection.execute(_CHANGE)
        for each in range(_version(connection), version):
            with _atomically(connection):
                for statement in self._migrations[each]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {each + 1}")


@contextmanager
def _atomically(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself when the disk was full
            connection.execute("ROLLBACK")
        raise


def _damage(error: sqlite3.DatabaseError) -> str:
    """Return the words for damage; raises an error that is none: no room, no permission, no such directory."""
    if isinstance(error, sqlite3.OperationalError):
        raise error
    return f"is damaged ({error})"


def _connect(path: Path) -> sqlite3.Connection:
    try:  # SQLite would let everybody read it, keys and all
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise sqlite3.OperationalError(str(error)) from error
    connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # An fsid that a client has seen must survive a power cut: FULL syncs the log at every commit.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _rows(connection: sqlite3.Connection, tables: Iterable[str]) -> dict[str, list[list[object]]]:
    return {
        table: [list(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]  # noqa: S608
        for table in tables
    }


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _change_number(connection: sqlite3.Connection) -> int:
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'precious_change'").fetchone()
    row = connection.execute("SELECT number FROM precious_change").fetchone() if known else None
    return int(row[0]) if row else 0


def _set_change_number(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM precious_change")
    connection.execute("INSERT INTO precious_change VALUES (?)", (number,))

