"""Listings: what is told of a name belongs to one inode, and one that cannot be looked at hides no other."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from appliance.fuse.directories import read_directory
from appliance.fuse.inodes import Entry, Inodes
from appliance.fuse.nodes import ROOT, NodeId


class Played:
    """Inodes whose node id is the inode number; `named` is called when one has been found out."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self.named: Callable[[bytes], None] = lambda _: None

    def listing(self, _node: NodeId, offset: int) -> int:
        os.lseek(self._directory, offset, os.SEEK_SET)
        return self._directory

    def itself(self, node: NodeId) -> Entry:
        return Entry(node, 0, os.stat(self._directory))

    parent = itself

    def name(self, descriptor: int, entry: bytes = b"") -> tuple[NodeId, int]:
        found = os.stat(entry, dir_fd=descriptor, follow_symlinks=False) if entry else os.stat(descriptor)
        self.named(entry)
        return NodeId(found.st_ino), 0


@pytest.fixture
def inodes(tmp_path: Path) -> Iterator[Played]:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "name").write_bytes(b"old")
    descriptor = os.open(tmp_path / "here", os.O_RDONLY | os.O_DIRECTORY)
    yield Played(descriptor)
    os.close(descriptor)


def listed(inodes: Played) -> dict[bytes, Entry | None]:
    return {name: entry for name, entry, _ in read_directory(cast("Inodes", inodes), ROOT, 0)}


def test_a_name_that_gets_another_inode_meanwhile_is_told_with_its_own_attributes(
    inodes: Played, tmp_path: Path
) -> None:
    (tmp_path / "new").write_bytes(b"newer")

    def replace(_: bytes) -> None:
        if (tmp_path / "new").exists():
            (tmp_path / "new").rename(tmp_path / "here" / "name")

    inodes.named = replace
    entry = listed(inodes)[b"name"]
    assert entry is not None
    assert (entry.node, entry.attributes.st_size) == ((tmp_path / "here" / "name").stat().st_ino, len(b"newer"))
    assert entry.attributes.st_ino == entry.node


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), OverflowError("no room for it")])
def test_an_inode_that_cannot_be_looked_at_hides_no_other(inodes: Played, tmp_path: Path, error: Exception) -> None:
    (tmp_path / "here" / "broken").touch()

    def fail(name: bytes) -> None:
        if name == b"broken":
            raise error

    inodes.named = fail
    found = listed(inodes)
    assert set(found) == {b".", b"..", b"name", b"broken"}
    assert found[b"broken"] is None
    assert found[b"name"]


def test_a_name_that_goes_meanwhile_is_left_out(inodes: Played, tmp_path: Path) -> None:
    inodes.named = lambda _: (tmp_path / "here" / "name").unlink(missing_ok=True)
    assert set(listed(inodes)) == {b".", b".."}
