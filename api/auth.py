"""The bearer token that everything under /v1 requires."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.problems import ApiError, Problem

# auto_error would answer in a shape of its own.
_SCHEME = HTTPBearer(auto_error=False, description="The token from the file `api-token` on the state volume.")


def require_token(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)]
) -> None:
    """Raise ApiError unless the request carries the token. Compares in constant time and logs neither."""
    token: str = request.app.state.token
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
