"""Node ids: FUSE's 64-bit names of inodes, made from native handles and turned back into them, without a table.

The generation is part of the node id, so a node id is never reused, although its inode number may be: the
contract that an exportable FUSE filesystem must keep, since GETATTR, READ and the rest carry no generation.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import NewType, Protocol

from appliance.linux.handles import NativeHandle

NodeId = NewType("NodeId", int)

# The kernel knows the root by this id, with generation 0, whatever the filesystem below calls it.
ROOT = NodeId(1)

_FILEID_INO32_GEN = 1
_INO32_GEN = struct.Struct("=II")


class Stale(OSError):
    """A node id that names no inode (any more): the only answer is ESTALE, so that clients look the name up anew."""

    def __init__(self) -> None:
        super().__init__(errno.ESTALE, os.strerror(errno.ESTALE))


class Codec(Protocol):
    """The rule between native handles and node ids of one kind of filesystem."""

    def encode(self, handle: NativeHandle) -> tuple[NodeId, int]:
        """Return the node id and the FUSE generation of an inode."""

    def decode(self, node: NodeId) -> NativeHandle:
        """Return the handle that `node` was made from. Raises Stale for a number that no inode can have."""

    def opens_any(self, node: NodeId) -> bool:
        """Tell whether the filesystem would open any inode of this number, so that the answer must be verified."""


class Ino32Codec:
    """Filesystems whose handle is a 32-bit inode number and a 32-bit generation: ext2, ext3, ext4 and others."""

    def encode(self, handle: NativeHandle) -> tuple[NodeId, int]:
        """Return `generation << 32 | inode`, and the generation. Raises Stale for another kind of handle."""
        if not self.fits(handle):
            raise Stale
        inode, generation = _INO32_GEN.unpack(handle.data)
        return NodeId(generation << 32 | inode), generation

    def decode(self, node: NodeId) -> NativeHandle:
        """Take the node id apart."""
        inode, generation = node & 0xFFFFFFFF, node >> 32
        if inode <= ROOT:  # 0 is no inode, and 1 (ext4: bad blocks) would be mistaken for the root
            raise Stale
        return NativeHandle(_FILEID_INO32_GEN, _INO32_GEN.pack(inode, generation))

    def opens_any(self, node: NodeId) -> bool:
        """ext4 takes generation 0 in a handle for "whichever is there"."""
        return node >> 32 == 0

    @staticmethod
    def fits(handle: NativeHandle) -> bool:
        """Tell whether this codec can name what `handle` names; tmpfs has the same type, but 12 bytes."""
        return handle.type == _FILEID_INO32_GEN and len(handle.data) == _INO32_GEN.size


def codec_for(handle: NativeHandle) -> Codec | None:
    """Choose the codec for a filesystem by the handle of one of its directories; None if there is none."""
    return Ino32Codec() if Ino32Codec.fits(handle) else None
