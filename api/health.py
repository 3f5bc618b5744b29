"""The routes for whoever watches the appliance; they need no token and tell nothing that is secret."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.problems import ProblemReply, failures
from api.shares import Control
from appliance.control.messages import GetReadiness, ReadinessReply

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """This process answers."""

    status: str = Field(default="ok", description="Always `ok`: whether anything works is for /readyz to say.")


class Ready(BaseModel):
    """Whether the appliance serves all it should. Which share is in trouble, and why, is for /v1/shares to tell."""

    ready: bool = Field(description="Whether all enabled shares are mounted, served and exported, and NFS is up.")
    nfs: bool = Field(description="Whether the NFS server and its daemons are up.")
    shares_enabled: int = Field(description="Shares that should be served.")
    shares_ready: int = Field(description="Shares that are.")


@router.get("/healthz", responses=failures("internal"))
async def healthz() -> Health:
    """Tell that this process is alive."""
    return Health()


_NOT_READY: dict[str, Any] = {
    "model": Ready | ProblemReply,
    "description": "Not ready, or the supervisor does not answer.",
}


@router.get("/readyz", responses={503: _NOT_READY, **failures("internal")})
async def readyz(supervisor: Control, response: Response) -> Ready:
    """Tell whether clients are served; 503 if not all that should be is."""
    found = (await supervisor.ask(GetReadiness(), ReadinessReply)).readiness
    response.status_code = 200 if found.ready else 503
    return Ready(**found.model_dump(exclude={"problems"}))
