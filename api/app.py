"""The REST API as an ASGI application."""

from __future__ import annotations

from importlib import metadata

from fastapi import FastAPI

from api import checks, events, handles, health, metrics, problems, shares
from api.control_client import ControlClient


def create_app(control: ControlClient, token: str) -> FastAPI:
    """Return the application; `token` is what callers have to show."""
    if not token:
        raise ValueError("an empty token would let everybody in")
    app = FastAPI(title="Holdfast", version=_version(), description="An NFS export appliance.", redoc_url=None)
    app.state.control = control
    app.state.token = token
    problems.install(app)
    app.include_router(shares.router)
    app.include_router(checks.router)
    app.include_router(handles.router)
    app.include_router(events.router)
    app.include_router(metrics.router)
    app.include_router(health.router)
    return app


def _version() -> str:
    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:
        return "0"  # run from a source tree that is not installed
