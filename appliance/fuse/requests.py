"""Requests as the kernel sends them: what the pool process reads while there is no worker.

After a death the kernel is told to send again what was read and not answered. Before new workers may have that, the
pool process reads it itself, because only the raw requests tell three things for certain: which of the dead workers'
intents belong to a request that really comes again, which request a dead worker was at, and by what number (unique)
one is answered that must not be given to any more workers. Then it has all of it sent once more.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from appliance.fuse import protocol

_RESEND = 1 << 63  # FUSE_UNIQUE_RESEND, set in `unique` of whatever is sent again
_BODY = 1024  # bytes: arguments and two names of 255 bytes


class Opcode(IntEnum):
    """enum fuse_opcode of <linux/fuse.h>, those that workers serve or that need no answer."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BATCH_FORGET = 42
    READDIRPLUS = 44
    RENAME2 = 45


_UNANSWERED = (Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT)

# How many bytes of arguments stand before the name (fuse_mknod_in and so on).
_NAME_AT = {
    Opcode.MKNOD: 16,
    Opcode.MKDIR: 8,
    Opcode.LINK: 8,
    Opcode.RENAME: 8,
    Opcode.RENAME2: 16,
    Opcode.CREATE: 16,
    Opcode.SETXATTR: 8,  # without FUSE_SETXATTR_EXT
}


@dataclass(frozen=True)
class Request:
    """One request. `node` is the inode it is about, for a change of a directory that directory."""

    unique: int
    opcode: int
    node: int
    caller: int
    body: bytes
    resent: bool

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Take a raw request apart, its first kilobyte being enough. Raises struct.error if it is shorter than one."""
        _, opcode, unique, node, _, _, caller, _, _ = protocol.IN_HEADER.unpack_from(message)
        body = message[protocol.IN_HEADER.size :]
        return cls(plain_unique(unique), opcode, node, caller, body, bool(unique & _RESEND))

    @property
    def name(self) -> bytes:
        """The name that is made, removed or changed, for the requests that have one."""
        return self.body[_NAME_AT.get(Opcode(self.opcode), 0) :].partition(b"\0")[0]

    @property
    def file_handle(self) -> int:
        """The file handle of a request that begins with one, such as RELEASE."""
        return int.from_bytes(self.body[:8], sys.byteorder)


def plain_unique(unique: int) -> int:
    """Return a request's number without the mark of its having been sent again."""
    return unique & ~_RESEND


class Reader:
    """Reads and refuses requests of a connection that no worker serves at the moment."""

    def __init__(self, connection: int) -> None:
        self._connection = connection
        # The kernel answers a request with EIO if the reader's memory does not take all of it, and if the reader is
        # killed it makes no new pages: so the largest request's room is made now. Shared, since fork(2) would
        # leave private pages to be copied at the next write.
        self._buffer = mmap.mmap(-1, protocol.MAX_WRITE + protocol.PAGE_SIZE)
        self._buffer.write(bytes(len(self._buffer)))

    def read_resent(self) -> list[Request]:
        """Return the requests that have been sent again. Raises OSError when the connection has ended.

        They count as read from now on, so the kernel must be told once more to send them again.
        """
        found: list[Request] = []
        os.set_blocking(self._connection, False)
        try:
            # What is sent again stands at the head of the queue; FORGETs come from a queue of their own in between.
            while (request := self._read()) is not None:
                if request.opcode in _UNANSWERED:
                    continue
                if not request.resent:
                    break
                found.append(request)
        finally:
            os.set_blocking(self._connection, True)
        return found

    def _read(self) -> Request | None:
        while True:
            try:
                size = os.readv(self._connection, [self._buffer])
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno == errno.ENOENT:  # the caller gave up while it was being copied
                    continue
                raise
            return Request.parse(self._buffer[: min(size, protocol.IN_HEADER.size + _BODY)])

    def refuse(self, request: Request, number: int) -> None:
        """Answer with an errno a request that has been sent again. Raises OSError."""
        os.write(self._connection, protocol.error_reply(request.unique | _RESEND, number))
