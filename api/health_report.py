"""The route of findings, for those who may know of them; whether all is well is for /readyz to tell everybody."""

from __future__ import annotations

from api.auth import guarded_router
from api.problems import responses
from api.shares import Control
from appliance.control.checks import GetHealth, HealthReply
from appliance.model.health import HealthReport

router = guarded_router(prefix="/v1/health", tag="health")


@router.get("", responses=responses())
async def get_health(supervisor: Control) -> HealthReport:
    """Tell what is not as it should be, how bad it is, since when, and what to do."""
    return (await supervisor.ask(GetHealth(), HealthReply)).report
