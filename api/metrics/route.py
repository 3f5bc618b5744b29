"""The route of the numbers. Prometheus shows a token as everybody does, unless HOLDFAST_METRICS_OPEN says otherwise."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import CollectorRegistry, generate_latest

from api.auth import guarded_router
from api.metrics.data import Data
from api.metrics.handles import Handles
from api.metrics.server import Server
from api.shares import Control
from appliance.control.checks import GetNumbers, NumbersReply

PATH = "/metrics"

router = guarded_router(tag="metrics")

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get(PATH, response_class=Response)
async def metrics(supervisor: Control) -> Response:
    """Return all numbers in Prometheus's text format."""
    return Response(render(await supervisor.ask(GetNumbers(), NumbersReply)), media_type=_CONTENT_TYPE)


def render(numbers: NumbersReply) -> bytes:
    """Return the numbers as text."""
    registry = CollectorRegistry()
    for collector in (Handles(numbers.shares), Data(numbers), Server(numbers)):
        registry.register(collector)
    return generate_latest(registry)
