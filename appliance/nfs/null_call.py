"""The NULL call of ONC RPC (RFC 5531): the smallest question that only a working NFS server answers."""

from __future__ import annotations

import asyncio
import secrets
import struct

_NFS_PROGRAM = 100003
_LAST_FRAGMENT = 1 << 31
_CALL, _REPLY = 0, 1
_RPC_VERSION = 2
_ACCEPTED, _SUCCESS = 0, 0
_MAX_REPLY = 1024  # bytes; a NULL reply has 24


def call(xid: int, version: int) -> bytes:
    """Return the call as one record: its header, and no credentials."""
    body = struct.pack(">10I", xid, _CALL, _RPC_VERSION, _NFS_PROGRAM, version, 0, 0, 0, 0, 0)
    return struct.pack(">I", _LAST_FRAGMENT | len(body)) + body


def is_success(xid: int, body: bytes) -> bool:
    """Whether this is the successful reply to the call of that id."""
    if len(body) != 24:
        return False
    found, kind, accepted, _, verifier, status = struct.unpack(">6I", body)
    return (found, kind, accepted, verifier, status) == (xid, _REPLY, _ACCEPTED, 0, _SUCCESS)


async def answers(port: int, timeout: float, *, host: str = "localhost", version: int = 4) -> bool:
    """Whether an NFS server of that version answers within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            return await _ask(host, port, version)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def _ask(host: str, port: int, version: int) -> bool:
    xid = secrets.randbits(32)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(call(xid, version))
        (header,) = struct.unpack(">I", await reader.readexactly(4))
        length = header & ~_LAST_FRAGMENT
        return length <= _MAX_REPLY and is_success(xid, await reader.readexactly(length))
    finally:
        writer.close()
