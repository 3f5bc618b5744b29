"""The routes of NFS clients."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, Field

from api.auth import guarded_router
from api.problems import responses
from api.shares import Control
from appliance.control.clients import ClientReply, ClientsReply, ExpireClient, GetClient, ListClients
from appliance.control.messages import Done
from appliance.model.nfs_clients import MountRecord, NfsClient, NfsClientReport

router = guarded_router(prefix="/v1/clients", tag="clients", changing="operate")

Number = Annotated[int, Path(description="Number of the client.", ge=1, le=2**31 - 1)]


class ClientList(BaseModel):
    """Who uses the NFS server."""

    clients: tuple[NfsClient, ...] = Field(description="NFSv4 clients, by number.")
    mounts: tuple[MountRecord, ...] = Field(description="What NFSv3 clients have mounted, as far as it was noted.")


@router.get("", responses=responses("share-not-found", "command-failed"))
async def list_clients(
    supervisor: Control,
    share: Annotated[str | None, Query(description="Only those that hold something on it.", max_length=255)] = None,
) -> ClientList:
    """List NFS clients and how much they hold on which share."""
    reply = await supervisor.ask(ListClients(share=share), ClientsReply)
    return ClientList(clients=reply.clients, mounts=reply.mounts)


@router.get("/{number}", responses=responses("client-not-found", "command-failed"))
async def get_client(number: Number, supervisor: Control) -> NfsClientReport:
    """Return one NFSv4 client with its opens, locks and delegations, and the paths of the files."""
    return (await supervisor.ask(GetClient(number=number), ClientReply)).report


@router.delete("/{number}", status_code=204, responses=responses("client-not-found", "command-failed"))
async def expire_client(number: Number, supervisor: Control) -> None:
    """End an NFSv4 client's session at once. What it holds is taken away; if it lives it comes back with a new one."""
    await supervisor.ask(ExpireClient(number=number), Done)
