"""A small NFSv4.1 client (RFC 8881): looks a path up, and asks for the attributes behind a file handle.

In user space, because a loopback mount of the kernel's own client is in the way when the container is killed: the end
of the mount asks a server that has ended before it, and `docker kill` was seen to give up.
"""

from __future__ import annotations

import errno
import secrets
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from appliance.checks.xdr import Reader, opaque, uint, uint64
from appliance.linux.statx import Found

_PROGRAM, _VERSION, _MINOR, _COMPOUND = 100003, 4, 1, 1
_LAST_FRAGMENT = 1 << 31
_AUTH_SYS = 1
_LARGEST = 1 << 20  # bytes of a reply

_GETATTR, _GETFH, _LOOKUP, _PUTFH, _PUTROOTFH = 9, 10, 15, 22, 24
_EXCHANGE_ID, _CREATE_SESSION, _DESTROY_SESSION, _SEQUENCE, _DESTROY_CLIENTID = 42, 43, 44, 53, 57

# Attributes asked for, in the order in which they come: type, size, fileid; numlinks, time_modify.
_WANTED = uint(2, 1 << 1 | 1 << 4 | 1 << 20, 1 << 35 - 32 | 1 << 53 - 32)
_FILE_TYPES = (0, 0o100000, 0o040000, 0o060000, 0o020000, 0o120000, 0o140000, 0o010000)  # by nfs_ftype4

_OK, _DELAY, _GRACE = 0, 10008, 10013
_ERRNO = {
    1: errno.EPERM, 2: errno.ENOENT, 5: errno.EIO, 13: errno.EACCES, 20: errno.ENOTDIR, 63: errno.ENAMETOOLONG,
    70: errno.ESTALE, 10001: errno.EBADF, 10006: errno.EIO, 10029: errno.ENOTDIR,
}  # fmt: skip
_TRIES = 50
_TRY_SECONDS = 0.2
_RESERVED = range(1023, 664, -1)  # ports that only root may call from, but for the lower ones, where services are
_NAMES_AT_ONCE = 8  # LOOKUPs of one compound


class NfsError(OSError):
    """The server refused; the number is the errno that a mount would give."""

    def __init__(self, status: int) -> None:
        super().__init__(_ERRNO.get(status, errno.EREMOTEIO), f"NFS status {status}")


class Session:
    """A session with a server; see `connected`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._xid = secrets.randbits(32)
        self._sequence = 0
        self._client, first = self._exchange_id()
        self._session = self._create_session(first)

    def look_up(self, names: Sequence[bytes], start: bytes | None = None) -> bytes:
        """Return the file handle at a path below `start`, or below the server's root. Raises OSError."""
        handle = start
        for first in range(0, max(len(names), 1), _NAMES_AT_ONCE):
            operations = [uint(_PUTROOTFH) if handle is None else uint(_PUTFH) + opaque(handle)]
            operations += [uint(_LOOKUP) + opaque(name) for name in names[first : first + _NAMES_AT_ONCE]]
            reader = self._ask([*operations, uint(_GETFH)])
            for _ in operations:
                _status(reader)
            _status(reader)
            handle = reader.opaque()
        assert handle is not None  # noqa: S101 - the loop runs at least once
        return handle

    def attributes(self, handle: bytes) -> Found:
        """Return what the server says of the file behind a handle; `inode` is its fileid. Raises OSError."""
        reader = self._ask([uint(_PUTFH) + opaque(handle), uint(_GETATTR) + _WANTED])
        _status(reader)
        _status(reader)
        for _ in range(reader.uint()):
            reader.uint()  # the bitmap: knfsd has all of what was asked for
        values = Reader(reader.opaque())
        kind, size, fileid, links = values.uint(), values.uint64(), values.uint64(), values.uint()
        mtime = values.int64() * 1_000_000_000 + values.uint()
        return Found(_FILE_TYPES[kind] if kind < len(_FILE_TYPES) else 0, fileid, links, size, mtime, 0)

    def end(self) -> None:
        """Tell the server that nobody comes back."""
        with suppress(OSError):
            self._call([uint(_DESTROY_SESSION) + self._session])
            self._call([uint(_DESTROY_CLIENTID) + uint64(self._client)])

    def _exchange_id(self) -> tuple[int, int]:
        owner = b"holdfast-check-" + secrets.token_hex(8).encode()
        reader = self._call([uint(_EXCHANGE_ID) + secrets.token_bytes(8) + opaque(owner) + uint(0, 0, 0)])
        _status(reader)
        return reader.uint64(), reader.uint()

    def _create_session(self, sequence: int) -> bytes:
        channel = uint(0, _LARGEST, _LARGEST, 8192, 16, 1, 0)
        callback = uint(0x40000000, 1, 0)  # a program number nobody calls, without credentials
        body = uint64(self._client) + uint(sequence, 0) + channel + channel + callback
        reader = self._call([uint(_CREATE_SESSION) + body])
        _status(reader)
        return reader.fixed(16)

    def _ask(self, operations: Sequence[bytes]) -> Reader:
        """Do this in the session; the reader is at the result of the first of these operations."""
        for _ in range(_TRIES):
            self._sequence += 1
            reader = self._call([uint(_SEQUENCE) + self._session + uint(self._sequence, 0, 0, 0), *operations])
            if reader.status not in (_DELAY, _GRACE):
                break
            time.sleep(_TRY_SECONDS)
        _status(reader)
        reader.fixed(16 + 5 * 4)
        return reader

    def _call(self, operations: Sequence[bytes]) -> _Reply:
        """Make one call and return its reply, at the first result."""
        self._xid = self._xid + 1 & 0xFFFFFFFF
        credentials = opaque(uint(0) + opaque(b"holdfast") + uint(0, 0, 0))
        call = uint(self._xid, 0, 2, _PROGRAM, _VERSION, _COMPOUND, _AUTH_SYS) + credentials + uint(0, 0)
        call += opaque(b"") + uint(_MINOR, len(operations)) + b"".join(operations)
        self._connection.sendall(uint(_LAST_FRAGMENT | len(call)) + call)
        return _Reply(self._record(), self._xid)

    def _record(self) -> bytes:
        record, last = b"", False
        while not last:
            (mark,) = struct.unpack(">I", self._receive(4))
            last, size = bool(mark & _LAST_FRAGMENT), mark & ~_LAST_FRAGMENT
            if len(record) + size > 2 * _LARGEST:
                raise OSError(errno.EBADMSG, f"an NFS reply of {size} bytes")
            record += self._receive(size)
        return record

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._connection.recv(size - len(data))
            if not part:
                raise ConnectionResetError(errno.ECONNRESET, "the NFS server has hung up")
            data += part
        return data


class _Reply(Reader):
    """A reply, its heads read; `status` is the compound's."""

    def __init__(self, data: bytes, xid: int) -> None:
        super().__init__(data)
        found = (self.uint(), self.uint(), self.uint())
        self.uint()
        self.opaque()
        if (*found, self.uint()) != (xid, 1, 0, 0):  # reply, accepted, success
            raise OSError(errno.EREMOTEIO, "the NFS server refused the call")
        self.status = self.uint()
        self.opaque()
        self.uint()


def _status(reader: Reader) -> None:
    """Read the head of an operation's result; raises NfsError unless it was done."""
    reader.uint()
    if (status := reader.uint()) != _OK:
        raise NfsError(status)


@contextmanager
def connected(host: str, port: int, timeout: float, caller: str) -> Iterator[Session]:
    """Give a session with a server, from the address `caller` and a port that only root has. Raises OSError."""
    with _reserved(host, port, timeout, caller) as connection:
        session = Session(connection)
        try:
            yield session
        finally:
            session.end()


def _reserved(host: str, port: int, timeout: float, caller: str) -> socket.socket:
    for own in _RESERVED:
        try:
            return socket.create_connection((host, port), timeout, source_address=(caller, own))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise OSError(error.errno, "a call from a port below 1024 takes NET_BIND_SERVICE") from error
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise
    raise OSError(errno.EADDRINUSE, "no port below 1024 is free")
