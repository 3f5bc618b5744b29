"""Any other filesystem with handles: a durable two-way table of node ids and handles, shared by a share's workers.

The one codec with state. A row is on storage before its node id
is given out, and never changed or removed: SQLite's AUTOINCREMENT never gives a number a second time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from appliance.fuse.nodes import ROOT, Identity, NodeId, Stale
from appliance.linux.handles import NativeHandle

_SCHEMA = """
CREATE TABLE IF NOT EXISTS handles (
    node INTEGER PRIMARY KEY AUTOINCREMENT,
    type INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (type, data)
) STRICT
"""
_BUSY_SECONDS = 30.0
_LARGEST = "SELECT max(node) FROM handles"


class TableCodec:
    """A number for each handle, in the order in which they are first seen."""

    def __init__(self, path: Path) -> None:
        """Open or make the table. Raises sqlite3.Error, OSError."""
        self._batching = False
        self._database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        # SQLite does not wait for its turn, as it does otherwise, when two want to turn one file into WAL.
        with _alone(path.parent):
            self._database.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit has reached storage when it returns. With less, a power cut could take a node id back
            # that a client holds.
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(_SCHEMA)
            self._database.execute("INSERT OR IGNORE INTO handles VALUES (?, -1, x'')", (ROOT,))

    def encode(self, handle: NativeHandle) -> Identity:
        """Return the handle's number, a new one the first time. Raises EIO when it cannot be written down."""
        node = self.find(handle)
        if node is None:
            with _written():
                if self._batching and not self._database.in_transaction:
                    self._database.execute("BEGIN IMMEDIATE")
                # A worker beside this one may do the same at the same time; one of them makes the row.
                self._database.execute("INSERT OR IGNORE INTO handles (type, data) VALUES (?, ?)", handle)
            node = self.find(handle)
        if node is None:
            raise RuntimeError(f"{handle} is not in the table although it was just put there")
        return Identity(node, bytes([handle.type & 0xFF]) + handle.data)

    def find(self, handle: NativeHandle) -> NodeId | None:
        """Return the number of a handle that has one already."""
        row = self._database.execute("SELECT node FROM handles WHERE type = ? AND data = ?", handle).fetchone()
        return None if row is None else NodeId(row[0])

    def decode(self, node: NodeId) -> NativeHandle:
        """Return the handle that was given this number."""
        if node <= ROOT or node >> 63:
            raise Stale
        row = self._database.execute("SELECT type, data FROM handles WHERE node = ?", (node,)).fetchone()
        if row is None:
            raise Stale
        return NativeHandle(*row)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Write all new handles in one transaction: each takes a wait for storage, and a directory has many names."""
        self._batching = True
        try:
            yield
            if self._database.in_transaction:
                with _written():
                    self._database.execute("COMMIT")
        finally:
            self._batching = False
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    @property
    def remembers(self) -> bool:
        """The table has the whole handle."""
        return True

    def opens_any(self, _node: NodeId) -> bool:
        """The handle is the filesystem's own, so it opens what it was made from."""
        return False

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class TableSize(NamedTuple):
    """How large a table is: node ids given out, and bytes on storage."""

    entries: int
    bytes: int


def measure(path: Path) -> TableSize:
    """Return the size of the table at `path`, which others may be writing to. Raises sqlite3.Error, OSError."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as database:
        entries = int(database.execute(_LARGEST).fetchone()[0]) - ROOT
    files = (path, path.with_name(f"{path.name}-wal"))
    return TableSize(entries, sum(file.stat().st_size for file in files if file.exists()))


@contextmanager
def _written() -> Iterator[None]:
    """Have what the table does not take become EIO.

    Not ENOSPC, whatever the reason: what was asked for may have been done on the source, and would be tried again.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(errno.EIO, f"the table of handles takes no more: {error}") from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep out others who open tables in this directory. Not by the table: closing it would lose SQLite's locks."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
