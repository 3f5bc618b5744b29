"""Inodes of the source as FUSE sees them: from node id to descriptor, from descriptor to entry."""

from __future__ import annotations

import os
import stat
from contextlib import AbstractContextManager
from typing import NamedTuple

from appliance.fuse.descriptors import Access, DescriptorCache
from appliance.fuse.key import HandleKey
from appliance.fuse.nodes import ROOT, Codec, NodeId, Stale
from appliance.linux import handles
from appliance.linux.files import proc_path

_CHILD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(NamedTuple):
    """What a look-up gives: the inode's name in FUSE, its generation and its attributes."""

    node: NodeId
    generation: int
    attributes: os.stat_result


class Inodes:
    """The inodes of one source. Holds nothing but a cache of descriptors."""

    def __init__(self, source: int, codec: Codec, key: HandleKey, capacity: int) -> None:
        self.cache = DescriptorCache(source, codec, capacity)
        self._codec = codec
        self._key = key
        self._root = handles.name_to_handle(source)

    def path(self, node: NodeId) -> int:
        """Return an O_PATH descriptor of any inode. Raises ESTALE if it is gone, as do all methods here."""
        return self.cache.get(node, Access.PATH)

    def reading(self, node: NodeId) -> int:
        """Return a descriptor to read a file or a directory by."""
        return self.cache.get(node, Access.READ)

    def directory(self, node: NodeId) -> int:
        """Return an O_PATH descriptor of a directory, to find and change names in. ESTALE if it left the share."""
        descriptor = self.path(node)
        if node != ROOT:
            _stay_inside(descriptor)
        return descriptor

    def attributes(self, node: NodeId) -> os.stat_result:
        """Return the attributes of any inode. ESTALE for a directory that left the share."""
        attributes = self._attributes(node, self.path(node))
        # Without a name it lives on for those who have it open. That is not to be us, or whoever goes on asking for
        # its attributes would keep alive what a local process has deleted.
        if attributes.st_nlink == 0:
            self.cache.drop(node)
        return attributes

    def attributes_path(self, node: NodeId) -> str:
        """Return the path by which extended attributes are had, which O_PATH descriptors do not give."""
        self.attributes(node)
        return proc_path(self.path(node))

    def _attributes(self, node: NodeId, descriptor: int) -> os.stat_result:
        attributes = os.stat(descriptor)
        if stat.S_ISDIR(attributes.st_mode) and node != ROOT:
            _stay_inside(descriptor)
        return attributes

    def listing(self, node: NodeId, offset: int) -> int:
        """Return a descriptor to list a directory by, at `offset`."""
        # ext4 takes the position of a descriptor's first getdents64(2) for its state and, when that was the end,
        # finds nothing after a seek back to 0. So a listing begins with a descriptor of its own.
        descriptor = self.cache.get(node, Access.READ) if offset else self.cache.renew(node, Access.READ)
        if node != ROOT:
            _stay_inside(descriptor)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return descriptor

    def writing(self, node: NodeId) -> int:
        """Return a descriptor to write a file by."""
        return self.cache.get(node, Access.WRITE)

    def name(self, descriptor: int, entry: bytes = b"") -> tuple[NodeId, int]:
        """Return node id and generation of what a descriptor, or `entry` in the directory it is, refers to."""
        flags = 0 if entry else handles.AT_EMPTY_PATH
        handle = handles.name_to_handle(descriptor, entry, flags)
        # The root is node 1 with generation 0 everywhere, also as somebody's "..": a second name for
        # its inode would make the kernel see two directories.
        if handle == self._root:
            return ROOT, 0
        node, identity = self._codec.encode(handle)
        return node, self._key.generation(identity)

    def batch(self) -> AbstractContextManager[None]:
        """Return a context in which many entries are described before any of them is told to the kernel."""
        return self._codec.batch()

    def child(self, directory: NodeId, name: bytes) -> Entry:
        """Look `name` up in a directory, never through a symbolic link, and keep its descriptor."""
        return self.child_of(self.directory(directory), name)

    def child_of(self, directory: int, name: bytes) -> Entry:
        """Do the same in the directory of a descriptor that `directory` gave for this request."""
        descriptor = os.open(name, _CHILD, dir_fd=directory)
        try:
            node, generation = self.name(descriptor)
            attributes = os.stat(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self.cache.put(node, descriptor)
        return Entry(node, generation, attributes)

    def itself(self, node: NodeId) -> Entry:
        """Look up "." of any inode: what the kernel asks when it has only a handle.

        It may be a forged one, since it is the kernel that compares generations, after the answer. So nothing is kept
        of it, and nothing makes room for it.
        """
        with self.cache.borrowed(node) as descriptor:
            attributes = self._attributes(node, descriptor)
            # Without a name left and unknown to the kernel it is open nowhere: it exists only because a worker
            # has not dropped its descriptor yet.
            if attributes.st_nlink == 0:
                self.cache.drop(node)
                raise Stale
            named, generation = self.name(descriptor)
            if named != node:
                raise Stale
            return Entry(node, generation, attributes)

    def parent(self, node: NodeId) -> Entry:
        """Look up ".." of a directory. The root is its own parent: nothing above it is served."""
        return self.itself(ROOT) if node == ROOT else self.child(node, b"..")

    def find(self, directory: NodeId, name: bytes) -> Entry | None:
        """Look `name` up; None if there is no such entry."""
        try:
            return self.child(directory, name)
        except FileNotFoundError:
            return None


def _stay_inside(directory: int) -> None:
    """Raise ESTALE for a directory that a local process has moved out of the source.

    What is looked up or listed there was never inside the share. The kernel goes to ".." from no directory whose
    parent is not below the root of the mount that it is seen through, which is our copy of the source.
    """
    try:
        os.stat(b"..", dir_fd=directory)
    except FileNotFoundError:
        raise Stale from None
