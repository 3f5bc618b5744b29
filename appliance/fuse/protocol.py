"""The few messages of the FUSE protocol that Holdfast reads and writes itself (<linux/fuse.h>, protocol 7.x).

libfuse speaks the rest, inside the workers. The negotiation (FUSE_INIT) is ours because it must happen once per
mount and not once per worker; the notifications are ours because they are about the connection, not a request.
"""

from __future__ import annotations

import enum
import mmap
import struct
from dataclasses import dataclass

FUSE_INIT = 26
KERNEL_MAJOR = 7

# The minor version of the protocol that our answers follow; the kernel adapts to the smaller of both sides.
KERNEL_MINOR = 40

MAX_WRITE = 1 << 20
PAGE_SIZE = mmap.PAGESIZE
MAX_PAGES = MAX_WRITE // PAGE_SIZE

IN_HEADER = struct.Struct("=IIQQIIIHH")  # len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding
_OUT_HEADER = struct.Struct("=IiQ")  # len, error, unique
_INIT_IN = struct.Struct("=IIIII")  # major, minor, max_readahead, flags, flags2
# major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran, max_pages,
# map_alignment, flags2, max_stack_depth, request_timeout, unused[11]
_INIT_OUT = struct.Struct("=IIIIHHIIHHIIH22x")
_INVAL_INODE = struct.Struct("=Qqq")  # ino, off, len

_NOTIFY_INVAL_INODE = 2
_NOTIFY_RESEND = 7
_NOTIFY_INC_EPOCH = 8


class InitFlag(enum.IntFlag):
    """What kernel and daemon can agree on in FUSE_INIT; the kernel's names without the FUSE_ in front."""

    ASYNC_READ = 1 << 0
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    ASYNC_DIO = 1 << 15
    PARALLEL_DIROPS = 1 << 18
    POSIX_ACL = 1 << 20
    MAX_PAGES = 1 << 22
    HANDLE_KILLPRIV_V2 = 1 << 28
    INIT_EXT = 1 << 30
    PASSTHROUGH = 1 << 37
    HAS_RESEND = 1 << 39


# What knfsd and the recovery cannot do without.
REQUIRED = InitFlag.EXPORT_SUPPORT | InitFlag.DO_READDIRPLUS | InitFlag.INIT_EXT | InitFlag.HAS_RESEND

# DONT_MASK: the umask is the backing filesystem's to apply, since a default ACL takes its place.
# AUTO_INVAL_DATA: a file changed behind the mount drops its cached pages once the attributes show it.
# HANDLE_KILLPRIV_V2: who changes a program clears its setuid and setgid, see attributes.clear_privileges. In return the
# kernel remembers of a file that it has no capabilities (SB_NOSEC), which it would ask about before each write.
# No ATOMIC_O_TRUNC: the kernel sends SETATTR first, and so setuid and setgid are cleared as for any truncate.
# No READDIRPLUS_AUTO: pyfuse3 implements READDIRPLUS only.
# No WRITEBACK_CACHE: it excludes PASSTHROUGH.
WANTED = (
    REQUIRED
    | InitFlag.ASYNC_READ
    | InitFlag.BIG_WRITES
    | InitFlag.DONT_MASK
    | InitFlag.AUTO_INVAL_DATA
    | InitFlag.ASYNC_DIO
    | InitFlag.PARALLEL_DIROPS
    | InitFlag.POSIX_ACL
    | InitFlag.MAX_PAGES
    | InitFlag.HANDLE_KILLPRIV_V2
    | InitFlag.PASSTHROUGH
)

# How many filesystems may be stacked, this one included: 2 lets the source be an overlayfs, and nobody else's be
# stacked on the mount.
_MAX_STACK_DEPTH = 2


@dataclass(frozen=True)
class InitRequest:
    """The kernel's offer, the first message on a new connection."""

    unique: int
    minor: int
    max_readahead: int
    offered: InitFlag

    @classmethod
    def parse(cls, message: bytes) -> InitRequest:
        """Take the raw request apart. Raises ValueError for anything that is not a FUSE_INIT of protocol 7."""
        if len(message) < IN_HEADER.size + _INIT_IN.size:
            raise ValueError(f"a FUSE_INIT request of {len(message)} bytes is too short")
        _, opcode, unique, *_ = IN_HEADER.unpack_from(message)
        major, minor, max_readahead, low, high = _INIT_IN.unpack_from(message, IN_HEADER.size)
        if opcode != FUSE_INIT or major != KERNEL_MAJOR:
            raise ValueError(f"expected FUSE_INIT of protocol 7, got opcode {opcode} of protocol {major}")
        return cls(unique, minor, max_readahead, InitFlag(low | high << 32))

    @property
    def missing(self) -> InitFlag:
        """What this kernel does not offer although Holdfast cannot do without it."""
        return REQUIRED & ~self.offered

    def answer(self) -> bytes:
        """Return the reply that accepts what both sides want."""
        flags = WANTED & self.offered
        body = _INIT_OUT.pack(
            KERNEL_MAJOR,
            min(KERNEL_MINOR, self.minor),
            self.max_readahead,
            flags & 0xFFFFFFFF,
            64,  # max_background: asynchronous requests in flight
            48,  # congestion_threshold
            MAX_WRITE,
            1,  # time_gran: timestamps are good to the nanosecond
            MAX_PAGES,
            0,
            flags >> 32,
            _MAX_STACK_DEPTH,
            0,
        )
        return _OUT_HEADER.pack(_OUT_HEADER.size + len(body), 0, self.unique) + body


def resend() -> bytes:
    """Return the notification that puts every request read but not answered back into the queue (Linux 6.9)."""
    return _OUT_HEADER.pack(_OUT_HEADER.size, _NOTIFY_RESEND, 0)


def expire_names() -> bytes:
    """Return the notification that has every cached name looked up again when it is next used (Linux 6.16).

    An older kernel answers EINVAL. Unlike the one about a single name it takes no lock of a directory.
    """
    return _OUT_HEADER.pack(_OUT_HEADER.size, _NOTIFY_INC_EPOCH, 0)


def error_reply(unique: int, number: int) -> bytes:
    """Return the answer to request `unique` that says this errno."""
    return _OUT_HEADER.pack(_OUT_HEADER.size, -number, unique)


def invalidate_attributes(node: int) -> bytes:
    """Return the notification that drops the kernel's attributes of a node, but not its data."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + _INVAL_INODE.size, _NOTIFY_INVAL_INODE, 0) + _INVAL_INODE.pack(
        node, -1, 0
    )
