"""A connection to the state database for what is written often: results of checks, events."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import StateError


class Database:
    """One connection, used by one thread at a time. The schema is appliance.store's business, which comes first."""

    def __init__(self, path: Path | str) -> None:
        """Open the database. Raises StateError."""
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; what is done in the block is done as a whole or not at all. Raises StateError."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise _failure(error) from error
                raise


def _failure(error: sqlite3.Error) -> StateError:
    return StateError(f"the state database failed: {error}", "is the state volume full?")
