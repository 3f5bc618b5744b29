"""Requests that were answered with EIO because each worker that took them died: an event says which."""

from __future__ import annotations

from collections.abc import Callable

from appliance.fuse.pool_events import RequestRefused
from appliance.state.events import Data, Events


def recorder(events: Events) -> Callable[[str, RequestRefused], None]:
    """Return what is to be called with each of them and its share's name; it blocks for milliseconds."""

    def record(share: str, request: RequestRefused) -> None:
        node = f"{request.node:#x}"
        message = f"{request.operation} of node {node} was answered with EIO: {request.deaths} workers died at it"
        data: Data = {"operation": request.operation, "node": node, "deaths": request.deaths}
        events.add("request-refused", message, share, data)

    return record
