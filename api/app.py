"""The REST API as an ASGI application."""

from __future__ import annotations

from importlib import metadata

from fastapi import FastAPI

from api import checks, clients, config, docs, events, handles, health, health_report, problems, server, shares, tokens
from api.authenticator import Authenticator, Openness
from api.control_client import ControlClient
from api.metrics import route as metrics

_FAILURES_PER_MINUTE = 20


def create_app(
    control: ControlClient,
    token: str,
    *,
    openness: Openness = Openness(),  # noqa: B008 - it cannot change
    failures_per_minute: int = _FAILURES_PER_MINUTE,
    require_match: bool = False,
) -> FastAPI:
    """Return the application; `token` is that of the token file, whose owner may do everything."""
    app = FastAPI(
        title="Holdfast",
        version=_version(),
        description="An NFS export appliance.",
        openapi_url=None,  # both are routes of our own, which ask for credentials
        docs_url=None,
        redoc_url=None,
    )
    app.state.control = control
    app.state.require_match = require_match
    app.state.authenticator = Authenticator(control, token, failures_per_minute)
    app.state.open_paths = {
        *((metrics.PATH,) if openness.metrics else ()),
        *((docs.OPENAPI, docs.PAGE) if openness.docs else ()),
    }
    problems.install(app)
    for part in (
        *(shares, config, server, checks, clients, handles, events, tokens, metrics, health, health_report, docs),
    ):
        app.include_router(part.router)
    return app


def _version() -> str:
    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:
        return "0"  # run from a source tree that is not installed
