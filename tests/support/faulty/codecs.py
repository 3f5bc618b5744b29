"""The wrong codecs, for ext4's handles."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from appliance.fuse.codecs import choice as kinds
from appliance.fuse.codecs import ino32
from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.nodes import Codec, Identity, NodeId, Stale
from appliance.linux.handles import NativeHandle

_DATA = struct.Struct("=II")  # inode, generation


class InodeNumber:
    """The inode number alone: a number that is used again is a node id that is used again."""

    def encode(self, handle: NativeHandle) -> Identity:
        inode = ino32.inode_number(handle)
        return Identity(NodeId(inode), _DATA.pack(inode, 0))

    def decode(self, node: NodeId) -> NativeHandle:
        return NativeHandle(ino32.TYPE, _DATA.pack(node, 0))

    @property
    def remembers(self) -> bool:
        return True

    def opens_any(self, _node: NodeId) -> bool:
        return False

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()


class Sequential:
    """A number for each inode in the order in which this process sees them: another process, another order."""

    def __init__(self) -> None:
        self._nodes: dict[NativeHandle, int] = {}

    def encode(self, handle: NativeHandle) -> Identity:
        return Identity(NodeId(self._nodes.setdefault(handle, len(self._nodes) + 2)), b"any")

    def decode(self, node: NodeId) -> NativeHandle:
        for handle, known in self._nodes.items():
            if known == node:
                return handle
        raise Stale

    @property
    def remembers(self) -> bool:
        return True

    def opens_any(self, _node: NodeId) -> bool:
        return False

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()


FAULTS: dict[str, Callable[[], Codec]] = {"inode-number": InodeNumber, "sequential": Sequential}


def install(fault: str) -> None:
    """Have every worker of this process and its children use the codec."""

    def build(choice: CodecChoice, source: int, table: str) -> Codec:
        return FAULTS[fault]()

    kinds.build = build
