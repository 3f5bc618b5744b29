"""An xfs that grows while it is served: old handles hold, and inodes with numbers that there were not are served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.linux import xfs
from tests.support.daemon import daemon
from tests.support.filesystems import GROWN, Filesystem, filesystem
from tests.support.janitor import Janitor
from tests.support.posix.files import make, opened
from tests.support.witness import Witness, drop_caches, faults, mark, take

pytestmark = [pytest.mark.fuse, pytest.mark.kinds(GROWN)]

_DIRECTORIES = 60  # xfs puts new directories into its allocation groups by turns


def _inode_bits(disk: Filesystem) -> int:
    with opened(bytes(disk.source), os.O_RDONLY) as source:
        bits = xfs.inode_bits(source)
    assert bits is not None
    return bits


def _populate(mountpoint: Path, disk: Filesystem, prefix: str) -> list[Witness]:
    """Make directories with a file each by way of the mount."""
    made = []
    for number in range(_DIRECTORIES):
        directory = mountpoint / f"{prefix}-{number}"
        directory.mkdir()
        make(bytes(directory / "file"), f"{prefix} {number}".encode())
        for path in (directory, directory / "file"):
            name = bytes(path.relative_to(mountpoint))
            mark(os.path.join(bytes(disk.source), name))
            made.append(name)
    return [take(mountpoint, disk.source, name) for name in made]


def test_handles_hold_while_an_xfs_grows_and_new_inodes_are_served(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    place = work / "growth"
    place.mkdir()
    with filesystem(disk.kind, place) as fresh:
        small = _inode_bits(fresh)
        with daemon(fresh.source, place / "mount", tmp_path / "log", watch) as running:
            old = _populate(running.mountpoint, fresh, "old")
            fresh.grow()
            assert _inode_bits(fresh) > small
            drop_caches()
            assert faults(running.mountpoint, old) == []
            new = _populate(running.mountpoint, fresh, "new")
            beyond = [each for each in new if os.lstat(os.path.join(bytes(fresh.source), each.name)).st_ino >> small]
            assert len(beyond) > _DIRECTORIES, "xfs made no inodes where there was nothing before"
            assert len({each.handle for each in old + new}) == len(old + new)
            drop_caches()
            assert faults(running.mountpoint, old + new) == []
        with daemon(fresh.source, place / "mount", tmp_path / "log", watch) as again:
            assert faults(again.mountpoint, old + new) == [], "the split of the node id is kept, not chosen anew"
