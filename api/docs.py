"""The description of the API: for programs, and as a page for people."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse

from api.auth import guarded_router

OPENAPI = "/openapi.json"
PAGE = "/docs"

router = guarded_router(tag="docs", include_in_schema=False)


@router.get(OPENAPI)
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get(PAGE)
async def page() -> Response:
    """Return a page that shows it."""
    return get_swagger_ui_html(openapi_url=OPENAPI, title="Holdfast")
