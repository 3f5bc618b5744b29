"""Handles on the FUSE mount: what the kernel's fuse_encode_fh() writes, read and written. Pure functions."""

from __future__ import annotations

import struct

from appliance.fuse.nodes import NodeId
from appliance.linux.handles import NativeHandle

INO64_GEN = 0x81  # FILEID_INO64_GEN: node id, generation
INO64_GEN_PARENT = 0x82  # and the same of the parent directory
_WORDS = struct.Struct("=III")  # the node id's high and low half, then the generation


def encode(node: NodeId, generation: int) -> NativeHandle:
    """Return the handle without a parent."""
    return NativeHandle(INO64_GEN, _WORDS.pack(node >> 32, node & 0xFFFFFFFF, generation))


def fits(handle: NativeHandle) -> bool:
    """Tell whether this is such a handle."""
    size = {INO64_GEN: _WORDS.size, INO64_GEN_PARENT: 2 * _WORDS.size}.get(handle.type)
    return size is not None and len(handle.data) == size


def node_of(handle: NativeHandle) -> NodeId:
    """Return the node id of a handle that `fits`."""
    high, low, _ = _WORDS.unpack_from(handle.data)
    return NodeId(high << 32 | low)


def generation_of(handle: NativeHandle) -> int:
    """Return the generation of a handle that `fits`."""
    return int(_WORDS.unpack_from(handle.data)[2])
