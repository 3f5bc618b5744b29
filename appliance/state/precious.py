"""A second copy of what nothing else tells: shares and their identities, the server's settings, who may ask.

A database can be lost in ways that it cannot see: a log file cut short by a failing disk is taken for one that ended
there, and an empty file for a new database. A new identity would be a new fsid and a new key, so all handles ever given
out would be stale. The server's settings and the tokens' digests are small and as hard to come by: without them a
restored appliance would serve other versions of NFS, and those who watch it would be locked out. So each change of
these tables also writes this copy: written whole and synced under another name before the change is committed, renamed
after. It carries the change's number, by which the younger of the two is told, and a digest of itself. A death between
the two leaves the copy behind by one change, until the next start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.linux import files

Row = Sequence[object]


class CopyDamaged(ValueError):
    """The copy is there and not what was written."""


@dataclass(frozen=True)
class Precious:
    """The rows of the precious tables after change number `change`, in the shape of schema version `schema`."""

    change: int
    schema: int
    tables: Mapping[str, Sequence[Row]]


class PreciousCopy:
    """The copy's file. Methods raise OSError when the volume does not take it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self, content: Precious) -> None:
        """Write the next copy whole and sync it, without putting it in force."""
        body = _canonical(content)
        files.prepare_replacement(self._path, _digest(body) + b"\n" + body)

    def commit(self) -> None:
        """Put what was prepared in force."""
        files.commit_replacement(self._path)

    def read(self) -> Precious | None:
        """Return what was written last, None if nothing ever was. Raises CopyDamaged."""
        try:
            digest, _, body = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if digest != _digest(body):
            raise CopyDamaged(f"{self._path} is not as it was written")
        fields = json.loads(body)
        tables = {name: [[_restored(cell) for cell in row] for row in rows] for name, rows in fields["tables"].items()}
        return Precious(fields["change"], fields["schema"], tables)


def _canonical(content: Precious) -> bytes:
    tables = {name: [[_plain(cell) for cell in row] for row in rows] for name, rows in content.tables.items()}
    return json.dumps({"change": content.change, "schema": content.schema, "tables": tables}, sort_keys=True).encode()


def _plain(cell: object) -> object:
    return {"hex": cell.hex()} if isinstance(cell, bytes) else cell


def _restored(cell: object) -> object:
    return bytes.fromhex(cell["hex"]) if isinstance(cell, dict) else cell


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=32).hexdigest().encode()
