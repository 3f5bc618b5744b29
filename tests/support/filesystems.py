"""Filesystems made for a test: a table of kinds, most in a loop image of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import run


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


@dataclass(frozen=True)
class Image:
    """How a filesystem in a loop image is made and mounted."""

    mkfs: tuple[str, ...]
    options: str = ""
    gibibytes: int = 4  # of a sparse image
    subvolumes: bool = False  # make source and plain as subvolumes

    @contextmanager
    def mounted(self, image: Path, root: Path) -> Iterator[None]:
        """Make the filesystem in `image` and mount it at `root` for the length of the context."""
        image.touch()
        with image.open("r+b") as file:
            file.truncate(self.gibibytes << 30)
        run(*self.mkfs, image)
        # mount(8) marks the loop device so that it goes when the mount goes.
        run("mount", "-o", ",".join(filter(None, ["loop", self.options])), image, root)
        try:
            if self.subvolumes:
                (root / "data").mkdir()
                for name in ("source", "plain"):
                    run("btrfs", "subvolume", "create", root / "data" / name)
            yield
        finally:
            run("umount", root)


@contextmanager
def _tmpfs(_image: Path, root: Path) -> Iterator[None]:
    run("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", root)
    try:
        yield
    finally:
        run("umount", root)


@contextmanager
def _overlay(image: Path, root: Path) -> Iterator[None]:
    """An overlayfs that gives handles, its layers on ext4; some of what is shared comes from the lower layer."""
    layers = root.with_name(f"{root.name}.layers")
    layers.mkdir()
    with Image(_EXT4).mounted(image, layers):
        for name in ("lower/data/source/from-below", "upper", "work"):
            (layers / name).mkdir(parents=True)
        options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work,index=on,nfs_export=on"
        run("mount", "-t", "overlay", "-o", options, "overlay", root)
        try:
            yield
        finally:
            run("umount", root)


# Enough inodes for the tests with hundreds of thousands of files.
_EXT4 = ("mkfs.ext4", "-q", "-N", "800000")

KINDS: dict[str, Callable[[Path, Path], AbstractContextManager[None]]] = {
    "ext4": Image(_EXT4).mounted,
    "ext4-inode128": Image((*_EXT4, "-I", "128")).mounted,
    "xfs": Image(("mkfs.xfs", "-q")).mounted,
    "xfs-inode32": Image(("mkfs.xfs", "-q"), options="inode32").mounted,
    # So large that inode number and generation have no room in a node id.
    "xfs-large": Image(("mkfs.xfs", "-q"), gibibytes=15 << 10).mounted,
    "btrfs": Image(("mkfs.btrfs", "-q")).mounted,
    "btrfs-subvolume": Image(("mkfs.btrfs", "-q"), subvolumes=True).mounted,
    "tmpfs": _tmpfs,
    "overlay": _overlay,
}


@contextmanager
def filesystem(kind: str, work: Path) -> Iterator[Filesystem]:
    """Make a filesystem of `kind` below `work` and mount it for the length of the context."""
    made = Filesystem(kind, work / f"{kind}.img", work / kind)
    made.root.mkdir()
    with KINDS[kind](made.image, made.root):
        made.source.mkdir(parents=True, exist_ok=True)
        made.plain.mkdir(exist_ok=True)
        yield made


def check_ext4(image: Path) -> None:
    """Have e2fsck read an image, which must not be mounted. Raises CommandError if it finds anything."""
    run("e2fsck", "-f", "-n", image)
