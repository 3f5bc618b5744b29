"""The routes of shares."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field

from api.auth import guarded_router
from api.control_client import ControlClient
from api.problems import SHARE_REFUSALS, responses
from appliance.control import (
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

router = guarded_router(prefix="/v1/shares", tag="shares")


def control(request: Request) -> ControlClient:
    """Return the way to the supervisor, who is told who asks."""
    client: ControlClient = request.app.state.control
    return client.on_behalf_of(getattr(request.state, "by", ""))


Control = Annotated[ControlClient, Depends(control)]
# Any name may be asked for; one that cannot exist is simply not found.
Name = Annotated[str, Path(description="Name of the share.", max_length=255)]


class ShareList(BaseModel):
    """All shares."""

    shares: tuple[ShareView, ...] = Field(description="The shares, by name.")


@router.get("")
async def list_shares(supervisor: Control) -> ShareList:
    """List all shares with their state."""
    reply = await supervisor.ask(ListShares(), SharesReply)
    return ShareList(shares=reply.shares)


@router.post("", status_code=201, responses=responses("not-json", "share-exists", *SHARE_REFUSALS))
async def create_share(share: Share, supervisor: Control, response: Response) -> ShareView:
    """Add a share, mount it and export it; the reply tells its state."""
    reply = await supervisor.ask(CreateShare(share=share), ShareReply)
    response.headers["Location"] = f"/v1/shares/{share.name}"
    return reply.share


@router.get("/{name}", responses=responses("share-not-found"))
async def get_share(name: Name, supervisor: Control) -> ShareView:
    """Return one share with its state."""
    reply = await supervisor.ask(GetShare(name=name), ShareReply)
    return reply.share


@router.patch("/{name}", responses=responses("not-json", "share-not-found", *SHARE_REFUSALS))
async def change_share(name: Name, changes: ShareChanges, supervisor: Control) -> ShareView:
    """Change the fields that are given; the result is checked as a whole, other shares are not disturbed."""
    reply = await supervisor.ask(UpdateShare(name=name, changes=changes), ShareReply)
    return reply.share


@router.delete("/{name}", status_code=204, responses=responses("share-not-found"))
async def delete_share(name: Name, supervisor: Control) -> None:
    """Unexport, unmount and forget a share. Its clients see ESTALE; its source is not touched."""
    await supervisor.ask(DeleteShare(name=name), Done)


@router.post("/{name}/rotate-key", responses=responses("share-not-found"))
async def rotate_key(name: Name, supervisor: Control) -> ShareView:
    """Make every file handle of a share that was ever given out stale, at once. Clients look names up anew.

    What clients have open on the share is lost to them. Neither the NFS server nor other shares are disturbed.
    """
    reply = await supervisor.ask(RotateKey(name=name), ShareReply)
    return reply.share


@router.post("/{name}/accept-source", responses=responses("share-not-found", *SHARE_REFUSALS))
async def accept_source(name: Name, supervisor: Control) -> ShareView:
    """Serve from now on what is at the share's source, also if it is not what the share was made for.

    Another directory or filesystem gets a new fsid and key, so all handles given out before are stale. Should the one
    of before come back and be accepted, its handles are good again. Nothing happens if it is what it was.
    """
    reply = await supervisor.ask(AcceptSource(name=name), ShareReply)
    return reply.share
