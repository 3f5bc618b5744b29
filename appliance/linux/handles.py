"""name_to_handle_at(2) and open_by_handle_at(2): a file's native handle, and the file a native handle names."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from typing import NamedTuple

from appliance.linux import libc

MAX_HANDLE_SIZE = 128  # MAX_HANDLE_SZ of <linux/exportfs.h>
AT_EMPTY_PATH = 0x1000

_HEADER = struct.Struct("=Ii")  # struct file_handle: handle_bytes, handle_type; the bytes follow
_ROOM = struct.pack("=I", MAX_HANDLE_SIZE)

_name_to_handle_at = libc.function(
    "name_to_handle_at", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int
)
_open_by_handle_at = libc.function("open_by_handle_at", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class NativeHandle(NamedTuple):
    """What a filesystem calls one of its inodes: a type and up to 128 opaque bytes."""

    type: int
    data: bytes


class _Scratch(threading.local):
    """Memory that a thread uses for all its calls; the supervisor opens sources in several at once."""

    def __init__(self) -> None:
        self.memory = bytearray(_HEADER.size + MAX_HANDLE_SIZE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.mount_id = ctypes.c_int()
        self.mount_id_address = ctypes.addressof(self.mount_id)


_scratch = _Scratch()


def name_to_handle(descriptor: int, name: bytes = b"", flags: int = AT_EMPTY_PATH) -> NativeHandle:
    """Return the native handle of `name` below the directory `descriptor`, or of the descriptor itself.

    A symbolic link at the end is not followed. Raises OSError; EOPNOTSUPP means that the filesystem has no handles.
    """
    memory = _scratch.memory
    memory[:4] = _ROOM
    _name_to_handle_at(descriptor, name, _scratch.address, _scratch.mount_id_address, flags)
    size, kind = _HEADER.unpack_from(memory)
    return NativeHandle(kind, bytes(memory[_HEADER.size : _HEADER.size + size]))


def open_by_handle(mount: int, handle: NativeHandle, flags: int) -> int:
    """Open the file that `handle` names on the filesystem of the descriptor `mount`, close-on-exec.

    `mount` must not be an O_PATH descriptor (the kernel says EBADF). Needs CAP_DAC_READ_SEARCH in the initial
    user namespace. Raises OSError; ESTALE means that there is no such inode any more.
    """
    packed = _HEADER.pack(len(handle.data), handle.type) + handle.data
    _scratch.memory[: len(packed)] = packed
    return int(_open_by_handle_at(mount, _scratch.address, flags | os.O_CLOEXEC))
