"""Reading directories, at the offsets that the source filesystem itself gives out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from appliance.fuse.inodes import Entry, Inodes
from appliance.fuse.nodes import NodeId
from appliance.linux import dirents


class ListedEntry(NamedTuple):
    """One name of a directory, and the offset at which the listing goes on after it."""

    name: bytes
    entry: Entry
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
                found = inodes.itself(directory)
            elif entry.name == b"..":
                found = inodes.parent(directory)
            else:
                found = _describe(inodes, descriptor, entry.name)
        except FileNotFoundError:
            continue  # removed since the directory was read
        yield ListedEntry(entry.name, found, entry.offset)


def _describe(inodes: Inodes, directory: int, name: bytes) -> Entry:
    """Look a name up without opening it: a listing must not flush the cache of descriptors."""
    attributes = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return Entry(*inodes.name(directory, name), attributes)
