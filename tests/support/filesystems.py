"""Filesystems made for a test: a table of kinds, most in a loop image of their own."""

from __future__ import annotations

import os
import shutil
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

    def grow(self) -> None:
        """Make it several times as large while it is mounted and in use, if it is of the kind that grows, and once."""
        if self.kind == GROWN and self.image.stat().st_size < _GROWN_BYTES:
            os.truncate(self.image, _GROWN_BYTES)
            device = run("findmnt", "-no", "SOURCE", self.root).strip()
            run("losetup", "--set-capacity", device)
            run("xfs_growfs", self.root)


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


# Enough inodes for the benchmark with a million files.
_EXT4 = ("mkfs.ext4", "-q", "-N", "1200000")

GROWN = "xfs-grown"
_GROWN_BYTES = 15 << 40  # an ext4 below it has files of up to 16 TiB

KINDS: dict[str, Callable[[Path, Path], AbstractContextManager[None]]] = {
    "ext4": Image(_EXT4).mounted,
    "ext4-inode128": Image((*_EXT4, "-I", "128")).mounted,
    "xfs": Image(("mkfs.xfs", "-q")).mounted,
    "xfs-inode32": Image(("mkfs.xfs", "-q"), options="inode32").mounted,
    # Grown while it is served, see `Filesystem.grow`; then inode numbers take 35 bits, and the generation is cut.
    GROWN: Image(("mkfs.xfs", "-q", "-d", "agsize=1023g"), gibibytes=2 << 10).mounted,
    "btrfs": Image(("mkfs.btrfs", "-q")).mounted,
    "btrfs-subvolume": Image(("mkfs.btrfs", "-q"), subvolumes=True).mounted,
    "tmpfs": _tmpfs,
    "overlay": _overlay,
}
# Where it makes no difference how one filesystem numbers its inodes.
ONE_OF_EACH = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")
# Where nothing but the rule between handles and node ids can make one.
ONE_PER_CODEC = ("ext4", "xfs", "btrfs", "tmpfs")


@contextmanager
def filesystem(kind: str, work: Path) -> Iterator[Filesystem]:
    """Make a filesystem of `kind` below `work` and mount it for the length of the context."""
    made = Filesystem(kind, work / f"{kind}.img", work / kind)
    made.root.mkdir()
    with KINDS[kind](made.image, made.root):
        made.source.mkdir(parents=True, exist_ok=True)
        made.plain.mkdir(exist_ok=True)
        yield made


def kernel_obstacle(kind: str) -> str | None:
    """Return why this kernel cannot mount that kind, None if it can."""
    name = kind.partition("-")[0]
    if shutil.which("modprobe"):
        run("modprobe", "--quiet", name, check=False)
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    if name not in known:
        return f"this kernel has no {name}"
    if name == "overlay" and not Path("/sys/module/overlay/parameters/nfs_export").exists():
        return "this kernel's overlay has no nfs_export"
    return None


def check_ext4(image: Path) -> None:
    """Have e2fsck read an image, which must not be mounted. Raises CommandError if it finds anything."""
    run("e2fsck", "-f", "-n", image)
