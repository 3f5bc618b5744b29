"""The routes of the NFS server's settings."""

from __future__ import annotations

from fastapi import Response

from api.auth import guarded_router
from api.preconditions import ETAG, Match, etag
from api.problems import responses
from api.shares import Control
from appliance.control_server_settings import GetServer, ServerReply, ServerView, UpdateServer
from appliance.model.server import ServerChanges

router = guarded_router(prefix="/v1/server", tag="NFS server")


@router.get("", responses={200: {"headers": ETAG}, **responses()})
async def get_server(supervisor: Control, response: Response) -> ServerView:
    """Return the NFS server's settings: versions, threads, lease, grace, addresses, ports."""
    return _tagged(await supervisor.ask(GetServer(), ServerReply), response)


@router.patch(
    "", responses={200: {"headers": ETAG}, **responses("not-json", "revision-changed", "match-required")}
)
async def change_server(
    changes: ServerChanges, supervisor: Control, response: Response, match: Match
) -> ServerView:
    """Change the settings that are given, and keep them; null goes back to the environment's.

    The number of threads takes effect at once; `restart_needed` names what takes effect at the container's next start.
    """
    return _tagged(await supervisor.ask(UpdateServer(changes=changes, match=match), ServerReply), response)


def _tagged(reply: ServerReply, response: Response) -> ServerView:
    response.headers["ETag"] = etag(reply.server.revision)
    return reply.server
