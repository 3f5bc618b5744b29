"""The kernel's own handle of 32-bit inode number and generation (FILEID_INO32_GEN): ext2, ext3, ext4, f2fs, others."""

from __future__ import annotations

import struct
from contextlib import AbstractContextManager, nullcontext

from appliance.fuse.nodes import ROOT, Identity, NodeId, Outside, Stale
from appliance.linux.handles import NativeHandle

TYPE = 1
_DATA = struct.Struct("=II")


class Ino32Codec:
    """`generation << 32 | inode`: all of the handle is in the node id, so nothing else is needed."""

    def encode(self, handle: NativeHandle) -> Identity:
        """Put the handle's two numbers into one."""
        if not fits(handle):
            raise Outside
        inode, generation = _DATA.unpack(handle.data)
        if inode <= ROOT:
            raise Outside
        return Identity(NodeId(generation << 32 | inode), handle.data)

    def decode(self, node: NodeId) -> NativeHandle:
        """Take the node id apart."""
        inode, generation = node & 0xFFFFFFFF, node >> 32
        if inode <= ROOT:  # 0 is no inode, and 1 (ext4: bad blocks) would be mistaken for the root
            raise Stale
        return NativeHandle(TYPE, _DATA.pack(inode, generation))

    def batch(self) -> AbstractContextManager[None]:
        """Nothing is written down, so there is nothing to gather."""
        return nullcontext()

    @property
    def remembers(self) -> bool:
        """The node id is the whole handle."""
        return True

    def opens_any(self, node: NodeId) -> bool:
        """The kernel's helper for these handles takes generation 0 for "whichever is there"."""
        return node >> 32 == 0


def fits(handle: NativeHandle) -> bool:
    """Tell whether this is such a handle; tmpfs has the same type, but 12 bytes."""
    return handle.type == TYPE and len(handle.data) == _DATA.size


def inode_number(handle: NativeHandle) -> int:
    """Return the inode number in a handle that `fits`."""
    return int(_DATA.unpack(handle.data)[0])
