"""What a tree must be after a client's changes, and the comparison with what it is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

SHARED = "shared"  # the directory that all clients work in


@dataclass
class File:
    """What a file must be, under all of its names."""

    content: bytearray
    mode: int = 0o600
    mtime: int | None = None  # nanoseconds, when it was set last and nothing was written since
    attributes: dict[str, bytes] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Mismatch(AssertionError):
    """The mount showed something that the model does not."""


def expect(what: str, seen: object, expected: object) -> None:
    """Raise Mismatch if the two differ."""
    if seen != expected:
        raise Mismatch(f"{what}: {seen!r:.300} instead of {expected!r:.300}")


@dataclass
class Model:
    """One client's part of the tree, its names relative to the tree's top. All of them bear the client's own."""

    client: str
    files: dict[str, File] = field(default_factory=dict)
    symlinks: dict[str, str] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)

    def entries(self, directory: str) -> list[str]:
        """Return the names that this client has in a directory."""
        paths = [*self.files, *self.symlinks, *self.directories]
        return sorted(os.path.basename(path) for path in paths if os.path.dirname(path) == directory)

    def check_entries(self, directory: str, listed: list[str]) -> None:
        """Compare a directory's list, other clients' entries left aside. Raises Mismatch."""
        mine = [name for name in listed if directory != SHARED or name.startswith(f"{self.client}-")]
        expect(f"list of {directory}", sorted(mine), self.entries(directory))

    def check_attributes(self, name: str, found: os.stat_result) -> None:
        """Compare what stat(2) says of a file. Raises Mismatch."""
        file = self.files[name]
        seen = (found.st_size, found.st_mode & 0o7777, found.st_nlink)
        expect(name, seen, (len(file.content), file.mode, len(file.names)))
        if file.mtime is not None:
            expect(f"mtime of {name}", found.st_mtime_ns, file.mtime)

    def verify(self) -> None:
        """Compare the tree below the current directory, on the mount or on the source. Raises Mismatch."""
        for name, file in self.files.items():
            self.check_attributes(name, os.stat(name))
            with open(name, "rb") as opened:
                expect(name, opened.read(), bytes(file.content))
            attributes = {key: os.getxattr(name, key) for key in os.listxattr(name)}
            expect(f"attributes of {name}", attributes, file.attributes)
        for name, target in self.symlinks.items():
            expect(name, os.readlink(name), target)
        for name in self.directories:
            self.check_entries(name, os.listdir(name))
