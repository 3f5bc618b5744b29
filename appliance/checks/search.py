"""Finding the names of an inode: from inode to path there is no way but to look through the tree."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from appliance.checks.view import View
from appliance.linux.dirents import read_entries
from appliance.linux.handles import NativeHandle

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DT_DIR = 4
_DT_UNKNOWN = 0


@dataclass(frozen=True)
class Names:
    """The paths found, and whether the whole tree was looked through or all links were found."""

    paths: tuple[bytes, ...]
    complete: bool


def names_of(view: View, native: NativeHandle, inode: int, links: int, seconds: float) -> Names:
    """Look for the names of an inode below the share's root for at most so many seconds. Raises OSError."""
    quick = view.path_of(native)
    found = {quick} if quick is not None else set()
    if native == view.expected_root or len(found) >= links:
        return Names(tuple(found), complete=True)
    deadline = time.monotonic() + seconds
    pending = [b""]
    while pending:
        if time.monotonic() > deadline:
            return Names(tuple(sorted(found)), complete=False)
        directory = pending.pop(0)
        for name, kind, number in entries_of(view.source, directory):
            path = os.path.join(directory, name)
            if is_directory(kind):
                pending.append(path)
            if number == inode and (at := view.named(path)) is not None and at.at.native == native:
                found.add(path)
                if kind == _DT_DIR or len(found) >= links:
                    return Names(tuple(sorted(found)), complete=True)
    return Names(tuple(sorted(found)), complete=True)


def is_directory(kind: int) -> bool:
    """Whether an entry of this type is, or may be, a directory."""
    return kind in (_DT_DIR, _DT_UNKNOWN)


def entries_of(source: int, directory: bytes) -> list[tuple[bytes, int, int]]:
    """Return names, types and inode numbers in a directory, given by its path; none if it is not there."""
    try:
        descriptor = os.open(directory or b".", _DIRECTORY, dir_fd=source)
    except OSError:
        return []  # not a directory after all, or gone
    try:
        entries = [(entry.name, entry.type, entry.inode) for entry in read_entries(descriptor)]
        return [entry for entry in entries if entry[0] not in (b".", b"..")]
    finally:
        os.close(descriptor)
