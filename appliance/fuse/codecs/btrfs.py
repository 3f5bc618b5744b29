"""btrfs: object ids are never reused within a subvolume, so the object id is the node id. A share is one subvolume."""

from __future__ import annotations

import struct
from contextlib import AbstractContextManager, nullcontext

from appliance.fuse.nodes import ROOT, Identity, NodeId, Outside, Stale
from appliance.linux.handles import NativeHandle

TYPE = 0x4D
_DATA = struct.Struct("=QQI")  # object id, subvolume id, generation
_ANY_GENERATION = 0
_TOP_SUBVOLUME = 5
_FIRST_OBJECT = 256  # the directory at the top of each subvolume


class BtrfsCodec:
    """The object id, as it is."""

    def __init__(self, subvolume: int) -> None:
        self._subvolume = subvolume

    def encode(self, handle: NativeHandle) -> Identity:
        """Take the object id out of the handle. A subvolume or snapshot below the source is not part of the share."""
        if not fits(handle):
            raise Outside
        inode, subvolume, _ = _DATA.unpack(handle.data)
        if subvolume != self._subvolume or inode <= ROOT:
            raise Outside
        return Identity(NodeId(inode), handle.data)

    def decode(self, node: NodeId) -> NativeHandle:
        """Build a handle without generation: btrfs does not compare it then, and the object id says enough."""
        if node <= ROOT:
            raise Stale
        return NativeHandle(TYPE, _DATA.pack(node, self._subvolume, _ANY_GENERATION))

    def batch(self) -> AbstractContextManager[None]:
        """Nothing is written down, so there is nothing to gather."""
        return nullcontext()

    @property
    def remembers(self) -> bool:
        """The generation is not part of the node id."""
        return False

    def opens_any(self, _node: NodeId) -> bool:
        """There was only ever one inode of this number."""
        return False


def fits(handle: NativeHandle) -> bool:
    """Tell whether this is a handle of btrfs without a parent."""
    return handle.type == TYPE and len(handle.data) == _DATA.size


def top() -> NativeHandle:
    """Return the handle of the directory at the top of the whole filesystem."""
    return NativeHandle(TYPE, _DATA.pack(_FIRST_OBJECT, _TOP_SUBVOLUME, _ANY_GENERATION))


def subvolume_of(handle: NativeHandle) -> int:
    """Return the subvolume id in a handle that `fits`."""
    return int(_DATA.unpack(handle.data)[1])
