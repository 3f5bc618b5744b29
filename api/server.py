"""The routes of the NFS server's settings."""

from __future__ import annotations

from fastapi import Response

from api.auth import guarded_router
from api.preconditions import ETAG, Match, etag
from api.problems import responses
from api.shares import Control, DryRun
from appliance.control.server_settings import GetServer, ServerReply, ServerView, UpdateServer
from appliance.model.server import ServerChanges

router = guarded_router(prefix="/v1/server", tag="NFS server")


@router.get("", responses={200: {"headers": ETAG}, **responses()})
async def get_server(supervisor: Control, response: Response) -> ServerView:
    """Return the NFS server's settings: versions, threads, lease, grace, addresses, ports."""
    return _tagged(await supervisor.ask(GetServer(), ServerReply), response)


@router.patch(
    "",
    responses={
        200: {"headers": ETAG},
        **responses("not-json", "address-missing", "revision-changed", "match-required"),
    },
)
async def change_server(
    changes: ServerChanges, supervisor: Control, response: Response, match: Match, dry_run: DryRun = False
) -> ServerView:
    """Change the settings that are given, and keep them; null goes back to the environment's.

    All take effect at once. For all but the number of threads the NFS server is started anew, and so its clients wait,
    and reclaim within the grace time what they hold; `started_anew_for` tells, and with `dry_run` beforehand. A server
    that does not start returns to the settings it had.
    """
    question = UpdateServer(changes=changes, match=match, dry_run=dry_run)
    return _tagged(await supervisor.ask(question, ServerReply), response)


def _tagged(reply: ServerReply, response: Response) -> ServerView:
    response.headers["ETag"] = etag(reply.server.revision)
    return reply.server
