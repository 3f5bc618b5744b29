"""The routes of shares."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.auth import guarded_router
from api.control_client import ControlClient
from api.preconditions import ETAG, Match, etag
from api.problems import CHANGE_REFUSALS, SHARE_REFUSALS, responses
from appliance.control.config import PreviewReply
from appliance.control.messages import (
    AcceptSource,
    CreateShare,
    DeleteShare,
    Done,
    GetShare,
    ListShares,
    RotateKey,
    ShareReply,
    SharesReply,
    ShareView,
    UpdateShare,
)
from appliance.model import Share, ShareChanges
from appliance.model.previews import Preview

router = guarded_router(prefix="/v1/shares", tag="shares")


def control(request: Request) -> ControlClient:
    """Return the way to the supervisor, who is told who asks."""
    client: ControlClient = request.app.state.control
    return client.on_behalf_of(getattr(request.state, "by", ""))


Control = Annotated[ControlClient, Depends(control)]
# Any name may be asked for; one that cannot exist is simply not found.
Name = Annotated[str, Path(description="Name of the share.", max_length=255)]


DryRun = Annotated[
    bool, Query(description="Change nothing, and tell what would change, down to the lines of exports(5).")
]


class ShareList(BaseModel):
    """All shares."""

    shares: tuple[ShareView, ...] = Field(description="The shares, by name.")


@router.get("")
async def list_shares(supervisor: Control) -> ShareList:
    """List all shares with their state."""
    reply = await supervisor.ask(ListShares(), SharesReply)
    return ShareList(shares=reply.shares)


@router.post(
    "",
    status_code=201,
    response_model=ShareView,
    responses={
        200: {"model": Preview, "description": "What would change, with `dry_run`."},
        201: {"headers": {**ETAG, "Location": {"description": "Its path.", "schema": {"type": "string"}}}},
        **responses("not-json", "share-exists", "owned-by-file", *SHARE_REFUSALS),
    },
)
async def create_share(
    share: Share, supervisor: Control, response: Response, dry_run: DryRun = False
) -> ShareView | Response:
    """Add a share, mount it and export it; the reply tells its state."""
    question = CreateShare(share=share, dry_run=dry_run)
    if dry_run:
        return _told(await supervisor.ask(question, PreviewReply))
    reply = await supervisor.ask(question, ShareReply)
    response.headers["Location"] = f"/v1/shares/{share.name}"
    return _tagged(reply, response)


@router.get("/{name}", responses={200: {"headers": ETAG}, **responses("share-not-found")})
async def get_share(name: Name, supervisor: Control, response: Response) -> ShareView:
    """Return one share with its state."""
    return _tagged(await supervisor.ask(GetShare(name=name), ShareReply), response)


@router.patch(
    "/{name}",
    responses={200: {"headers": ETAG}, **responses("not-json", "share-not-found", *CHANGE_REFUSALS, *SHARE_REFUSALS)},
)
async def change_share(
    name: Name, changes: ShareChanges, supervisor: Control, response: Response, match: Match, dry_run: DryRun = False
) -> ShareView | Preview:
    """Change the fields that are given; the result is checked as a whole, other shares are not disturbed."""
    question = UpdateShare(name=name, changes=changes, match=match, dry_run=dry_run)
    if dry_run:
        return (await supervisor.ask(question, PreviewReply)).preview
    return _tagged(await supervisor.ask(question, ShareReply), response)


@router.delete(
    "/{name}",
    status_code=204,
    response_model=None,
    responses={
        200: {"model": Preview, "description": "What would change, with `dry_run`."},
        **responses("share-not-found", *CHANGE_REFUSALS),
    },
)
async def delete_share(name: Name, supervisor: Control, match: Match, dry_run: DryRun = False) -> Response | None:
    """Unexport, unmount and forget a share. Its clients see ESTALE; its source is not touched."""
    question = DeleteShare(name=name, match=match, dry_run=dry_run)
    if dry_run:
        return _told(await supervisor.ask(question, PreviewReply))
    await supervisor.ask(question, Done)
    return None


@router.post(
    "/{name}/rotate-key",
    responses={200: {"headers": ETAG}, **responses("share-not-found", "revision-changed", "match-required")},
)
async def rotate_key(name: Name, supervisor: Control, response: Response, match: Match) -> ShareView:
    """Make every file handle of a share that was ever given out stale, at once. Clients look names up anew.

    What clients have open on the share is lost to them. Neither the NFS server nor other shares are disturbed.
    """
    return _tagged(await supervisor.ask(RotateKey(name=name, match=match), ShareReply), response)


@router.post(
    "/{name}/accept-source",
    responses={
        200: {"headers": ETAG},
        **responses("share-not-found", "revision-changed", "match-required", *SHARE_REFUSALS),
    },
)
async def accept_source(name: Name, supervisor: Control, response: Response, match: Match) -> ShareView:
    """Serve from now on what is at the share's source, also if it is not what the share was made for.

    Another directory or filesystem gets a new fsid and key, so all handles given out before are stale. Should the one
    of before come back and be accepted, its handles are good again. Nothing happens if it is what it was.
    """
    return _tagged(await supervisor.ask(AcceptSource(name=name, match=match), ShareReply), response)


def _tagged(reply: ShareReply, response: Response) -> ShareView:
    response.headers["ETag"] = etag(reply.share.revision)
    return reply.share


def _told(reply: PreviewReply) -> Response:
    return JSONResponse(reply.preview.model_dump(mode="json"))
