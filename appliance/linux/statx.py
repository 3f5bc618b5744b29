"""statx(2): the birth time of a file, which os.stat does not tell, with what else tells one file from another."""

from __future__ import annotations

import ctypes
import stat
import struct
from typing import NamedTuple

from appliance.linux import libc
from appliance.linux.handles import AT_EMPTY_PATH

_AT_STATX_DONT_SYNC = 0x4000
_STATX_BASIC_STATS = 0x7FF
_STATX_BTIME = 0x800
_SIZE = 256
# struct statx: mask, blksize, attributes, nlink, uid, gid, mode, ino, size, blocks, attributes_mask; four timestamps.
_HEAD = struct.Struct("=IIQIIIHxxQQQQ")
_TIME = struct.Struct("=qIi")
_BTIME = _HEAD.size + _TIME.size
_MTIME = _HEAD.size + 3 * _TIME.size
_NANOSECONDS = 1_000_000_000

_statx = libc.function(
    "statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, restype=ctypes.c_int
)


class Found(NamedTuple):
    """What tells a file from another. Times are nanoseconds since the epoch; `birth` is 0 where there is none."""

    type: int
    inode: int
    links: int
    size: int
    mtime: int
    birth: int


def statx(descriptor: int, *, from_cache: bool = False) -> Found:
    """Look at the file behind a descriptor, also one of O_PATH. Raises OSError.

    `from_cache` takes what the kernel has and asks a network or FUSE filesystem nothing.
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    flags = AT_EMPTY_PATH | (_AT_STATX_DONT_SYNC if from_cache else 0)
    _statx(descriptor, b"", flags, _STATX_BASIC_STATS | _STATX_BTIME, ctypes.addressof(buffer))
    mask, _, _, links, _, _, mode, inode, size, _, _ = _HEAD.unpack_from(buffer)
    birth = _time(buffer, _BTIME) if mask & _STATX_BTIME else 0
    return Found(stat.S_IFMT(mode), inode, links, size, _time(buffer, _MTIME), birth)


def _time(buffer: ctypes.Array[ctypes.c_char], offset: int) -> int:
    seconds, nanoseconds, _ = _TIME.unpack_from(buffer, offset)
    return int(seconds * _NANOSECONDS + nanoseconds)
