"""Routes that require credentials, and the role that each needs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from api.authenticator import Authenticator, forbidden
from api.body_limit import limited
from api.problems import responses
from appliance.state.tokens import Role

# It refuses nobody: it tells OpenAPI of the scheme. auto_error would answer in a shape of its own.
_SCHEME = HTTPBearer(
    auto_error=False, description="A token made with POST /v1/tokens, or that of the file `api-token`."
)
_READING = ("GET", "HEAD")


def guarded_router(
    *, tag: str, prefix: str = "", reading: Role = "read", changing: Role = "admin", include_in_schema: bool = True
) -> APIRouter:
    """Return a router whose routes require these roles: `reading` those of GET, `changing` all others."""

    class Guarded(_GuardedRoute):
        roles = (reading, changing)

    return APIRouter(
        prefix=prefix,
        tags=[tag],
        dependencies=[Depends(_SCHEME)],
        route_class=Guarded,
        responses=responses(),
        include_in_schema=include_in_schema,
    )


class _GuardedRoute(APIRoute):
    """Asks for credentials first. A dependency would come too late: FastAPI has read the whole body by then."""

    roles: tuple[Role, Role]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, behind the question for credentials."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if self.path not in request.app.state.open_paths:
                authenticator: Authenticator = request.app.state.authenticator
                principal = await authenticator.principal(request)
                if not principal.may(self.roles[request.method not in _READING]):
                    raise forbidden()
                request.state.by = principal.name
            return await handle(limited(request))

        return guarded
