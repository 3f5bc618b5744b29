"""The bearer token that everything under /v1 requires."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from api.problems import ApiError, Problem, responses

# auto_error would answer in a shape of its own.
_SCHEME = HTTPBearer(auto_error=False, description="The token from the file `api-token` on the state volume.")


def guarded_router(*, tag: str, prefix: str = "") -> APIRouter:
    """Return a router whose routes all require the token."""
    # The dependency refuses nobody: it tells OpenAPI of the scheme.
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        dependencies=[Depends(_SCHEME)],
        route_class=_GuardedRoute,
        responses=responses(),
    )


class _GuardedRoute(APIRoute):
    """Asks for the token first. A dependency would come too late: FastAPI has read the whole body by then."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, behind the question for the token."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            await _require_token(request)
            return await handle(request)

        return guarded


async def _require_token(request: Request) -> None:
    """Raise ApiError unless the request carries the token. Compares in constant time and logs neither."""
    token: str = request.app.state.token
    credentials = await _SCHEME(request)
    given = credentials.credentials if credentials else ""
    if not secrets.compare_digest(given.encode(), token.encode()):
        raise ApiError(
            Problem(
                code="unauthorized",
                message="a valid bearer token is required",
                field=None,
                hint="send the header `Authorization: Bearer TOKEN`; the token is in api-token on the state volume",
            )
        )
