"""The unix socket's listener: who is at the other end is the kernel's word (SO_PEERCRED, unix(7)), not a token's."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_KEY = "holdfast.peer"  # in the scope, which no header reaches


@dataclass(frozen=True)
class Peer:
    """The process that connected, as it was then."""

    pid: int
    uid: int
    gid: int


class PeerProtocol(H11Protocol):
    """HTTP over a unix socket; each request is told its peer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who has connected."""
        super().connection_made(transport)
        self.app = with_peer(self.app, self.peer())

    def peer(self) -> Peer:
        """Return who has connected."""
        return credentials(self.transport.get_extra_info("socket"))


def credentials(connection: socket.socket) -> Peer:
    """Return who is at the other end of a connected unix socket."""
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def with_peer(app: Callable[..., Awaitable[None]], peer: Peer) -> Callable[..., Awaitable[None]]:
    """Return an ASGI application that tells another who has connected."""

    async def told(scope: MutableMapping[str, Any], receive: object, send: object) -> None:
        await app({**scope, _KEY: peer}, receive, send)

    return told


def peer_of(request: Request) -> Peer | None:
    """Return who has connected; None for TCP."""
    found = request.scope.get(_KEY)
    return found if isinstance(found, Peer) else None
