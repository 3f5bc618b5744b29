"""What a check writes down: the outcome of calls, and what files look like afterwards."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from itertools import zip_longest
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Name = str | bytes
Entry = tuple[str, object]


class Journal:
    """The list of (label, value) pairs that two runs of one check are compared by."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, label: str, value: object) -> None:
        """Write down a value, which must not depend on the place or the time."""
        self.entries.append((label, value))

    def attempt(self, label: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Make the call, write down "ok" or the name of its errno, and return its result or None."""
        try:
            result = call(*args, **kwargs)
        except OSError as error:
            self.note(label, errno.errorcode.get(error.errno or 0, repr(error)))
            return None
        self.note(label, "ok")
        return result

    def value(self, label: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Make the call and write down its result, or the name of its errno."""
        try:
            result = call(*args, **kwargs)
        except OSError as error:
            self.note(label, errno.errorcode.get(error.errno or 0, repr(error)))
            return None
        self.note(label, result)
        return result

    def stat(self, label: str, what: Name | int) -> None:
        """Write down the attributes that must be equal everywhere, of a path (not followed) or a descriptor."""
        self.value(label, lambda: attributes(os.stat(what) if isinstance(what, int) else os.lstat(what)))

    def tree(self, top: Name = b".") -> None:
        """Write down everything at and below `top`."""
        self.entries += tree_entries(os.fsencode(top))


def tree_entries(top: bytes) -> list[Entry]:
    """Return everything at and below `top` as entries of a journal, one for each attribute of each file."""
    return [
        (f"afterwards, {what} of {os.fsdecode(path)!r}", value)
        for path, attributes in snapshot(top).items()
        for what, value in attributes.items()
    ]


def attributes(found: os.stat_result) -> dict[str, object]:
    """Return what of a stat result depends on neither the place nor the time."""
    return {
        "mode": f"{stat.filemode(found.st_mode)} {found.st_mode:o}",
        "links": found.st_nlink,
        "owner": (found.st_uid, found.st_gid),
        # A directory's size is its filesystem's own affair: on xfs it depends on the inode numbers in it.
        "size": None if stat.S_ISDIR(found.st_mode) else found.st_size,
        "device": (os.major(found.st_rdev), os.minor(found.st_rdev)),
    }


def snapshot(top: bytes) -> dict[bytes, dict[str, object]]:
    """Return path -> attributes, contents, link target and extended attributes, of `top` and all below it."""
    found: dict[bytes, dict[str, object]] = {}
    pending = [top]
    while pending:
        path = pending.pop()
        seen = os.lstat(path)
        entry = attributes(seen)
        found[os.path.relpath(path, top)] = entry
        if stat.S_ISDIR(seen.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(path)]
        elif stat.S_ISREG(seen.st_mode):
            entry["content"] = _digest(path)
        elif stat.S_ISLNK(seen.st_mode):
            entry["target"] = os.readlink(path)
        # Root alone sees trusted ones, and only where the whole way down has CAP_SYS_ADMIN.
        names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.")]
        entry["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names)}
    return dict(sorted(found.items()))


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contrast(one: list[Entry], other: list[Entry]) -> list[str]:
    """Return one line for each place where two journals differ."""
    lines: list[str] = []
    for ours, theirs in zip_longest(one, other, fillvalue=("nothing", None)):
        if ours[0] != theirs[0]:
            return [*lines, f"{ours[0]} here, {theirs[0]} there, and no more compared"]
        if ours[1] != theirs[1]:
            lines.append(f"{ours[0]}: {ours[1]!r:.500} here, {theirs[1]!r:.500} there")
    return lines
