"""getdents64(2): directory entries together with the filesystem's own offsets, which os.scandir hides."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from typing import NamedTuple

from appliance.linux import libc

_BUFFER_SIZE = 32 * 1024
_HEADER = struct.Struct("=QqHB")  # struct linux_dirent64: d_ino, d_off, d_reclen, d_type; the name follows

_getdents64 = libc.function("getdents64", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, restype=ctypes.c_ssize_t)


class DirectoryEntry(NamedTuple):
    """One entry. `offset` is where the *next* entry begins, good for lseek(2) on any descriptor of the directory."""

    inode: int
    offset: int
    type: int
    name: bytes


def read_entries(descriptor: int) -> Iterator[DirectoryEntry]:
    """Yield the entries from the descriptor's position to the end. Raises OSError."""
    buffer = ctypes.create_string_buffer(_BUFFER_SIZE)
    while size := _getdents64(descriptor, ctypes.addressof(buffer), _BUFFER_SIZE):
        yield from parse_entries(buffer.raw[:size])


def parse_entries(data: bytes) -> Iterator[DirectoryEntry]:
    """Take apart what one getdents64(2) call returned."""
    position = 0
    while position < len(data):
        inode, offset, length, kind = _HEADER.unpack_from(data, position)
        name = data[position + _HEADER.size : position + length]
        yield DirectoryEntry(inode, offset, kind, name[: name.index(0)])
        position += length
