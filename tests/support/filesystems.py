"""Filesystems made for a test: a table of kinds, each in a loop image of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import run


@dataclass(frozen=True)
class Kind:
    """How one kind of filesystem is made, mounted and checked."""

    mkfs: tuple[str, ...]
    fsck: tuple[str, ...]  # changes nothing; ends with 0 when all is well
    options: str = ""
    gibibytes: int = 4  # of a sparse image


KINDS = {
    # Enough inodes for the tests with hundreds of thousands of files.
    "ext4": Kind(mkfs=("mkfs.ext4", "-q", "-N", "800000"), fsck=("e2fsck", "-f", "-n")),
}


@dataclass(frozen=True)
class Filesystem:
    """A mounted filesystem. `source` is a directory inside of it, so that it has an outside; `plain` is its peer."""

    kind: str
    image: Path
    root: Path

    @property
    def source(self) -> Path:
        return self.root / "data" / "source"

    @property
    def plain(self) -> Path:
        return self.root / "data" / "plain"


@contextmanager
def filesystem(kind: str, work: Path) -> Iterator[Filesystem]:
    """Make a filesystem of `kind` in an image below `work` and mount it for the length of the context."""
    how = KINDS[kind]
    image, root = work / f"{kind}.img", work / kind
    image.touch()
    with image.open("r+b") as file:
        file.truncate(how.gibibytes << 30)
    run(*how.mkfs, image)
    root.mkdir()
    # mount(8) marks the loop device so that it goes when the mount goes.
    run("mount", "-o", ",".join(filter(None, ["loop", how.options])), image, root)
    try:
        made = Filesystem(kind, image, root)
        made.source.mkdir(parents=True)
        made.plain.mkdir()
        yield made
    finally:
        run("umount", root)


def check_consistency(kind: str, image: Path) -> None:
    """Have the filesystem's own checker read the image, which must not be mounted. Raises CommandError."""
    run(*KINDS[kind].fsck, image)
