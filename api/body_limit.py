"""How much of a request's body is read."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

MOST = 16 << 20  # bytes; a configuration with as many shares as there may be, of a dozen clients each


def limited(request: Request) -> Request:
    """Return the request, whose body ends with HTTPException 413 as soon as it is larger than MOST."""
    return Request(request.scope, _counting(request.receive))


def _counting(receive: Receive) -> Receive:
    left = MOST

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"the body has more than {MOST >> 20} MiB")
        return message

    return counted
