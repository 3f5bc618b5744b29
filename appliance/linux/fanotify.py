"""fanotify(7): what happens to the files of a whole filesystem, told by their native handles."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from appliance.linux import libc
from appliance.linux.handles import NativeHandle

_CLOEXEC = 0x1
_NONBLOCK = 0x2
# Each event names the directory that it happened in and the inode that it happened to, for which Linux 5.17 is needed.
_REPORT = 0x200 | 0x400 | 0x800 | 0x1000  # FAN_REPORT_FID, _DIR_FID, _NAME, _TARGET_FID
_MARK_ADD_FILESYSTEM = 0x1 | 0x100

_MODIFY = 0x2
_ATTRIB = 0x4
_MOVED = 0x40 | 0x80  # FROM and TO
_CREATE = 0x100
_DELETE = 0x200
_Q_OVERFLOW = 0x4000
_ONDIR = 0x40000000

_NAMES = _MOVED | _CREATE | _DELETE
# A link count that changes comes as _ATTRIB, a truncation and a fallocate(2) as _MODIFY. Nobody is told of a store into
# a shared mapping.
_WATCHED = _NAMES | _MODIFY | _ATTRIB | _ONDIR

_METADATA = struct.Struct("=IBBHQii")  # event_len, vers, reserved, metadata_len, mask, fd, pid
_INFO = struct.Struct("=BBH8xIi")  # info_type, pad, len, fsid (skipped), handle_bytes, handle_type; the bytes follow
_TYPE_INODE = 1
_READ_SIZE = 256 * 1024

_fanotify_init = libc.function("fanotify_init", ctypes.c_uint, ctypes.c_uint)
_fanotify_mark = libc.function(
    "fanotify_mark", ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p
)


class Change(NamedTuple):
    """Something that was done to a filesystem.

    `pid` is the process that did it, 0 for one that is not seen from here. `lost` means that changes before this one
    were too many for the queue, and then nothing else is known of it.
    """

    pid: int
    inodes: tuple[NativeHandle, ...] = ()
    names: bool = False
    lost: bool = False


def watch_filesystem(descriptor: int) -> int:
    """Return a descriptor, which never blocks, of the changes to the filesystem that a directory is on.

    Raises OSError: EPERM without CAP_SYS_ADMIN in the initial user namespace; EXDEV for a btrfs subvolume other than
    the one at the top; EOPNOTSUPP or ENODEV for a filesystem without handles or an id; EMFILE if the user has too many.
    """
    events = int(_fanotify_init(_CLOEXEC | _NONBLOCK | _REPORT, os.O_RDONLY))
    try:
        _fanotify_mark(events, _MARK_ADD_FILESYSTEM, _WATCHED, descriptor, None)
    except BaseException:
        os.close(events)
        raise
    return events


def read_changes(events: int, ignored: Collection[int]) -> Iterator[Change]:
    """Yield what has happened since the last call, without waiting, but for what the processes `ignored` did.

    Raises OSError.
    """
    while True:
        try:
            data = os.read(events, _READ_SIZE)
        except BlockingIOError:
            return
        yield from parse(data, ignored)


def parse(data: bytes, ignored: Collection[int] = ()) -> Iterator[Change]:
    """Take apart what the kernel has written."""
    start = 0
    while start < len(data):
        length, _, _, head, mask, _, pid = _METADATA.unpack_from(data, start)
        names = bool(mask & _NAMES)
        if mask & _Q_OVERFLOW:
            yield Change(pid, lost=True)
        elif pid not in ignored:
            yield Change(pid, _inodes(data, start + head, start + length, names=names), names)
        start += length


def _inodes(data: bytes, start: int, end: int, *, names: bool) -> tuple[NativeHandle, ...]:
    """Return whose attributes have changed: the inode's, and its directory's if a name came or went.

    A directory that something happens to is told as the directory of the name ".", without an inode.
    """
    own: list[NativeHandle] = []
    directories: list[NativeHandle] = []
    while start < end:
        kind, _, length, size, handle_type = _INFO.unpack_from(data, start)
        handle = NativeHandle(handle_type, data[start + _INFO.size : start + _INFO.size + size])
        (own if kind == _TYPE_INODE else directories).append(handle)
        start += length
    return (*own, *directories) if names or not own else tuple(own)
