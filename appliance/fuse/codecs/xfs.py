"""XFS: inode numbers of up to 63 bits and a 32-bit generation do not fit into 64 bits, so the generation is cut.

Where the line is drawn is chosen once per share, with room for the filesystem to grow, and kept. XFS counts a
generation up each time an inode number comes back, so even few of its low bits keep node ids apart for long; and
the whole generation, which only the filesystem knows, is what is put into the handle and into the MAC.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from appliance.fuse.codecs import ino32
from appliance.fuse.nodes import ROOT, Identity, NodeId, Outside, Stale
from appliance.linux.handles import NativeHandle

TYPE = 0x81
_DATA = struct.Struct("=QI")
_INO32_DATA = struct.Struct("=II")

GENERATION_BITS = 32
_GROWTH_BITS = 8  # the filesystem may become 256 times as large
_FEWEST_GENERATION_BITS = 16


def split(inode_bits: int) -> int:
    """Return how many of a node id's 64 bits are the inode number's, for inode numbers of `inode_bits` today."""
    return min(max(64 - GENERATION_BITS, inode_bits + _GROWTH_BITS), 64 - _FEWEST_GENERATION_BITS)


class XfsCodec:
    """`generation << inode_bits | inode`, the generation's high bits left out if there is no room for them."""

    def __init__(self, inode_bits: int, generation_of: Callable[[int], int | None]) -> None:
        """`generation_of` asks the filesystem for the generation of an inode number, None for a free one."""
        self._inode_bits = inode_bits
        self._generation_bits = 64 - inode_bits
        self._generation_of = generation_of

    def encode(self, handle: NativeHandle) -> Identity:
        """Put the handle's two numbers into one."""
        inode, generation = _numbers(handle)
        if inode <= ROOT:
            raise Outside
        if inode >> self._inode_bits:
            raise OverflowError(f"inode number {inode} has more than the {self._inode_bits} bits that the share allows")
        low = generation & (1 << self._generation_bits) - 1
        return Identity(NodeId(low << self._inode_bits | inode), _DATA.pack(inode, generation))

    def decode(self, node: NodeId) -> NativeHandle:
        """Take the node id apart and have the filesystem complete the generation."""
        inode, low = node & (1 << self._inode_bits) - 1, node >> self._inode_bits
        if inode <= ROOT:
            raise Stale
        if self._generation_bits >= GENERATION_BITS:
            return NativeHandle(TYPE, _DATA.pack(inode, low))
        generation = self._generation_of(inode)
        if generation is None or generation & (1 << self._generation_bits) - 1 != low:
            raise Stale
        return NativeHandle(TYPE, _DATA.pack(inode, generation))

    def batch(self) -> AbstractContextManager[None]:
        """Nothing is written down, so there is nothing to gather."""
        return nullcontext()

    @property
    def remembers(self) -> bool:
        """What is not in the node id XFS is asked for; it tells of no inode that is gone."""
        return True

    def opens_any(self, _node: NodeId) -> bool:
        """XFS takes no generation but the right one."""
        return False


def fits(handle: NativeHandle) -> bool:
    """Tell whether this is a handle of XFS; mounted with inode32 it writes the short, common form."""
    return (handle.type == TYPE and len(handle.data) == _DATA.size) or ino32.fits(handle)


def _numbers(handle: NativeHandle) -> tuple[int, int]:
    if handle.type == TYPE and len(handle.data) == _DATA.size:
        return _DATA.unpack(handle.data)
    if ino32.fits(handle):
        return _INO32_DATA.unpack(handle.data)
    raise Outside
