"""Node ids: FUSE's 64-bit names of inodes, made from native handles and turned back into them."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from typing import NamedTuple, NewType, Protocol

from appliance.linux.handles import NativeHandle

NodeId = NewType("NodeId", int)

# The kernel knows the root by this id, with generation 0, whatever the filesystem below calls it.
ROOT = NodeId(1)


class Stale(OSError):
    """A node id that names no inode (any more): the only answer is ESTALE, so that clients look the name up anew."""

    def __init__(self) -> None:
        super().__init__(errno.ESTALE, os.strerror(errno.ESTALE))


class Identity(NamedTuple):
    """An inode's node id, and the bytes that are this inode's and no other's, ever, however its handle is written."""

    node: NodeId
    data: bytes


class Codec(Protocol):
    """The rule between native handles and node ids of one filesystem.

    A node id is never given to a second inode, although inode numbers are: the contract that an exportable FUSE
    filesystem must keep, since GETATTR, READ and the rest carry no generation.
    """

    def encode(self, handle: NativeHandle) -> Identity:
        """Return the identity of the inode. Raises Outside for an inode that is not part of the share."""

    def decode(self, node: NodeId) -> NativeHandle:
        """Return a handle that opens the inode. Raises Stale if there can be none."""

    def batch(self) -> AbstractContextManager[None]:
        """Return a context in which much is encoded, of which nothing is told to anybody before it ends."""

    @property
    def remembers(self) -> bool:
        """Whether `decode` gives the very handle that an inode has or had, generation and all."""

    def opens_any(self, node: NodeId) -> bool:
        """Tell whether the filesystem would open any inode of this number, so that the answer must be verified."""


class Outside(FileNotFoundError):
    """An inode below the source that belongs to another filesystem or subvolume: the share does not show it.

    Nor does it show an inode whose number is 0 or the root's, which no filesystem known to us gives to a file.
    """

    def __init__(self) -> None:
        super().__init__(errno.ENOENT, "belongs to another subvolume")
