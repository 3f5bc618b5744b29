"""The unix socket's listener: who is at the other end is the kernel's word (SO_PEERCRED, unix(7)), not a token's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from appliance.control.peer import Peer, credentials

_KEY = "holdfast.peer"  # in the scope, which no header reaches


class PeerProtocol(H11Protocol):
    """HTTP over a unix socket; each request is told its peer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who has connected."""
        super().connection_made(transport)
        self.app = with_peer(self.app, self.peer())

    def peer(self) -> Peer:
        """Return who has connected."""
        return credentials(self.transport.get_extra_info("socket"))


def with_peer(app: Callable[..., Awaitable[None]], peer: Peer) -> Callable[..., Awaitable[None]]:
    """Return an ASGI application that tells another who has connected."""

    async def told(scope: MutableMapping[str, Any], receive: object, send: object) -> None:
        await app({**scope, _KEY: peer}, receive, send)

    return told


def peer_of(request: Request) -> Peer | None:
    """Return who has connected; None for TCP."""
    found = request.scope.get(_KEY)
    return found if isinstance(found, Peer) else None
