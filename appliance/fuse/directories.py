"""Reading directories, at the offsets that the source filesystem itself gives out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from appliance.fuse.inodes import Entry, Inodes
from appliance.fuse.nodes import NodeId
from appliance.linux import dirents
from appliance.linux.dirents import DirectoryEntry


class ListedEntry(NamedTuple):
    """One name of a directory, and the offset at which the listing goes on after it.

    `entry` is None for a name that is there, of an inode that cannot be looked at.
    """

    name: bytes
    entry: Entry | None
    next_offset: int


def read_directory(inodes: Inodes, directory: NodeId, offset: int) -> Iterator[ListedEntry]:
    """Yield the entries from `offset`, 0 or a `next_offset`, which stays good for as long as the directory exists.

    Offsets are the filesystem's own (for ext4 a hash of the name), so that they survive the descriptor: an NFS
    client comes back with one after any number of restarts.
    """
    descriptor = inodes.listing(directory, offset)
    for entry in dirents.read_entries(descriptor):
        try:
            if entry.name == b".":
                found: Entry | None = inodes.itself(directory)
            elif entry.name == b"..":
                found = inodes.parent(directory)
            else:
                found = _describe(inodes, descriptor, entry)
        except FileNotFoundError:
            continue  # removed since the directory was read
        yield ListedEntry(entry.name, found, entry.offset)


def _describe(inodes: Inodes, directory: int, entry: DirectoryEntry) -> Entry | None:
    """Look a name up without keeping it open: a listing must not flush the cache of descriptors."""
    try:
        node, generation = inodes.name(directory, entry.name)
        attributes = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
        if attributes.st_ino == entry.inode:
            return Entry(node, generation, attributes)
        # A local process has just given the name to another inode, perhaps between the two looks. The kernel would
        # believe for a while that the one has the owner and the mode of the other.
        with _opened(directory, entry.name) as descriptor:
            return Entry(*inodes.name(descriptor), os.stat(descriptor))
    except FileNotFoundError:
        raise
    except (OSError, OverflowError):  # a block that cannot be read, a number that the codec has no room for
        return None


@contextmanager
def _opened(directory: int, name: bytes) -> Iterator[int]:
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
