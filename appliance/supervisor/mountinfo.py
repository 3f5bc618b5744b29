"""/proc/self/mountinfo, read: touching the mounts themselves could block."""

from __future__ import annotations

import re
import select
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """One mount: where it is, of what type, and what it calls its device."""

    path: Path
    kind: str
    device: str
    number: tuple[int, int] = (0, 0)
    """Major and minor number of its filesystem."""


class MountChanges:
    """Becomes readable when a mount of this process's namespace comes, goes or changes."""

    def __init__(self, mountinfo: Path = MOUNTINFO) -> None:
        self._file = mountinfo.open("rb")
        self._poll = select.epoll()
        # The file itself is always readable; EPOLLPRI is what mounts(5) calls a change.
        self._poll.register(self._file, select.EPOLLPRI)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        self._file.close()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._poll.fileno()

    def clear(self) -> None:
        """Take note of the changes until now."""
        self._poll.poll(0)


def parse(text: str) -> list[Mount]:
    """Read the table, in the order in which the mounts were made."""
    mounts = []
    for line in text.split("\n"):  # the kernel escapes only what it separates by: a path may have other white space
        before, separator, after = line.partition(" - ")
        head, tail = before.split(" "), after.split(" ")
        if separator and len(head) >= 5 and len(tail) >= 2:
            mounts.append(Mount(Path(_unescape(head[4])), tail[0], _unescape(tail[1]), _number(head[2])))
    return mounts


def below(directory: Path, mountinfo: Path = MOUNTINFO) -> list[Mount]:
    """Return the mounts below `directory`, the newest last."""
    return [mount for mount in _read(mountinfo) if directory in mount.path.parents]


def at(path: Path, mountinfo: Path = MOUNTINFO) -> Mount | None:
    """Return the mount that is seen at `path`, the newest of those there; None if it is no mount point."""
    return next((mount for mount in reversed(_read(mountinfo)) if mount.path == path), None)


def device(path: Path, mountinfo: Path = MOUNTINFO) -> tuple[int, int] | None:
    """Return major and minor number of the filesystem that is seen at `path`, None if none is mounted there."""
    seen = at(path, mountinfo)
    return seen.number if seen else None


def _read(mountinfo: Path) -> list[Mount]:
    return parse(mountinfo.read_bytes().decode(errors="surrogateescape"))  # text mode would take \r for a line's end


def _number(word: str) -> tuple[int, int]:
    major, _, minor = word.partition(":")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _unescape(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)
