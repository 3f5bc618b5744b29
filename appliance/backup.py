"""`python -m appliance.backup make|verify|restore DIRECTORY`: the state volume, copied while in use, and put back.

Databases are copied by SQLite itself (its backup API), so that a copy is of one moment whatever is written meanwhile,
and each copy is checked. The copy of the precious rows goes first and the tables of handles last: the database is never
older than the one and never younger than the others, so what was restored knows every handle that it names.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance import settings
from appliance.errors import HoldfastError, StateError

MANIFEST = "manifest.json"
FORMAT = 1
REPLACED = ".before-restore"
_INCOMING = ".restoring"
_DATA = "state"
_SQLITE = b"SQLite format 3\0"
_SIDES = ("-wal", "-shm", "-journal")
_TABLES = "tables"
_NFS = "nfs"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file of a backup: its path below the state directory, its SHA-256, owner, group and mode."""

    path: str
    sha256: str
    uid: int
    gid: int
    mode: int


def make(state: Path, target: Path) -> list[Entry]:
    """Copy the state directory to the new directory `target`. Raises StateError."""
    try:
        target.mkdir(parents=True)
        found = [entry for path in _files(state) if (entry := _copy(state, path, target / _DATA)) is not None]
        manifest = {"format": FORMAT, "files": [asdict(entry) for entry in found]}
        (target / MANIFEST).write_text(json.dumps(manifest, indent=1))
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"the state cannot be copied: {error}", "is there room for a copy?") from error
    return found


def verify(backup: Path) -> list[Entry]:
    """Return the files of a backup, each found as it was written, databases sound. Raises StateError."""
    try:
        manifest = json.loads((backup / MANIFEST).read_text())
        if manifest["format"] != FORMAT:
            raise StateError(f"the backup has format {manifest['format']}, this release knows {FORMAT}")
        entries = [Entry(**each) for each in manifest["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"this is no backup of Holdfast: {error}", "name a file that `backup` has written") from error
    for entry in entries:
        _verify(backup / _DATA, entry)
    return entries


def restore(state: Path, backup: Path) -> list[Entry]:
    """Put a backup in the place of the state directory's contents, which go to `.before-restore` in it.

    Tables of handles that are there stay: rows are only ever added to them, so they know all that the backup knows, and
    the handles given out since. So do, as a whole, the NFS daemons' lists of which clients may reclaim what they held,
    or are to be notified: older ones would refuse that to who has come since, and allow it to who has lost it to others
    since (RFC 8881, 8.4.3). Nothing is changed if the backup is not sound. The appliance must not run. Raises
    StateError.
    """
    entries = verify(backup)
    try:
        incoming, replaced = state / _INCOMING, state / REPLACED
        if not incoming.exists():  # else what a restore that was cut off has moved is there, perhaps the only copy
            shutil.rmtree(replaced, ignore_errors=True)
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(mode=0o700)
        for entry in entries:
            if not _stays(state, Path(entry.path)):
                _put(backup / _DATA / entry.path, incoming / entry.path, entry)
        replaced.mkdir(mode=0o700, exist_ok=True)
        for old in [each for each in state.iterdir() if each.name not in (_INCOMING, REPLACED, _TABLES, _NFS)]:
            if (replaced / old.name).exists():
                _remove(old)  # the restore before this one has put it there
            else:
                old.rename(replaced / old.name)
        _move(incoming, state)
        _sync(state)
    except OSError as error:
        raise StateError(f"the state cannot be restored: {error}", "mend that and restore once more") from error
    return entries


def _stays(state: Path, path: Path) -> bool:
    """Whether what the state directory has is left as it is, whatever this file of a backup is."""
    top = path.parts[0]
    return (top == _TABLES and (state / path).exists()) or (top == _NFS and (state / _NFS).exists())


def _move(incoming: Path, state: Path) -> None:
    """Put what has been copied, and not until then, in its place: a table that is there by half would stay."""
    (state / _TABLES).mkdir(mode=0o700, exist_ok=True)
    if (incoming / _TABLES).exists():
        for table in list((incoming / _TABLES).iterdir()):
            table.rename(state / _TABLES / table.name)
        (incoming / _TABLES).rmdir()
    for new in list(incoming.iterdir()):
        new.rename(state / new.name)
    incoming.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _files(state: Path) -> Iterator[Path]:
    """Go through what belongs to the state: the tables last, and neither SQLite's side files nor what was replaced."""
    paths = [Path(directory) / name for directory, _, names in os.walk(state) for name in names]
    for path in sorted(paths, key=lambda each: (each.relative_to(state).parts[0] == _TABLES, each)):
        hidden = path.relative_to(state).parts[0] in (_INCOMING, REPLACED)
        if not hidden and not path.name.endswith(_SIDES) and path.is_file() and not path.is_symlink():
            yield path


def _copy(state: Path, path: Path, target: Path) -> Entry | None:
    """Copy a file; None if it has gone meanwhile."""
    relative = path.relative_to(state)
    copy = target / relative
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        about = path.stat()
        with path.open("rb") as file:
            database = _is_database(relative, file.read(len(_SQLITE)))
        if database:
            _copy_database(path, copy)
        else:
            shutil.copyfile(path, copy)
    except FileNotFoundError:
        return None
    copy.chmod(0o600)
    return Entry(str(relative), _digest(copy), about.st_uid, about.st_gid, about.st_mode & 0o7777)


def _is_database(path: Path, head: bytes) -> bool:
    """Whether this is one of our databases: rpc.statd's files are its user's, whatever is in them."""
    return head == _SQLITE and "statd" not in path.parts


def _copy_database(path: Path, copy: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as source, \
            contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    _check_database(copy)


def _check_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise StateError(f"{path.name} is damaged: {verdict}", "see docs/architecture.md on the state database")


def _verify(data: Path, entry: Entry) -> None:
    path = data / entry.path
    if Path(entry.path).is_absolute() or ".." in Path(entry.path).parts:
        raise StateError(f"the backup names {entry.path}, which is outside of it", "do not trust it")
    try:
        sound = _digest(path) == entry.sha256
        if sound and _is_database(Path(entry.path), path.read_bytes()[: len(_SQLITE)]):
            _check_database(path)
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"the backup's {entry.path} cannot be read: {error}", "use another backup") from error
    if not sound:
        raise StateError(f"the backup's {entry.path} is not what was written", "use another backup")


def _put(source: Path, target: Path, entry: Entry) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    os.chown(target, entry.uid, entry.gid)
    target.chmod(entry.mode)
    _sync(target)


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m appliance.backup", description=__doc__)
    parser.add_argument("command", choices=("make", "verify", "restore"))
    parser.add_argument("directory", type=Path, help="where the copy is, or is made")
    given = parser.parse_args(argv)
    try:
        state = settings.load().state_dir
        match given.command:
            case "make":
                entries = make(state, given.directory)
            case "verify":
                entries = verify(given.directory)
            case _:
                entries = restore(state, given.directory)
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{len(entries)} files\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
