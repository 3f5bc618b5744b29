"""A worker's testimony: which file of the source it serves under a node id.

An extended attribute that no file has and no listing shows. It is in the namespace `trusted`, which the kernel lets
only CAP_SYS_ADMIN ask for and which NFS does not carry, so clients never see it. Attributes could not tell as much:
the inode number that a mount shows is the node id itself, and times and sizes may be the same for two files.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from appliance.linux import handles
from appliance.linux.handles import NativeHandle
from appliance.linux.statx import Found, statx

ATTRIBUTE = b"trusted.holdfast.testimony"

_HEAD = struct.Struct("=IIQIQqq")  # handle type, file type, inode, links, size, mtime, birth; the handle's bytes follow


class Testimony(NamedTuple):
    """The native handle of the file, and what tells it from others."""

    handle: NativeHandle
    found: Found


def testify(descriptor: int) -> bytes:
    """Return the attribute's value for the file behind a descriptor. Raises OSError."""
    handle, found = handles.name_to_handle(descriptor), statx(descriptor)
    head = _HEAD.pack(
        handle.type, found.type, found.inode, found.links, found.size, found.mtime, found.birth
    )
    return head + handle.data


def parse(value: bytes) -> Testimony:
    """Read what `testify` wrote. Raises struct.error for anything shorter."""
    kind, file_type, inode, links, size, mtime, birth = _HEAD.unpack_from(value)
    return Testimony(
        NativeHandle(kind, value[_HEAD.size :]), Found(file_type, inode, links, size, mtime, birth)
    )
