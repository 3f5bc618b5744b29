"""What the API and the supervisor say to each other about NFS clients; see control.messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.model.frozen import Frozen
from appliance.model.nfs_clients import MountRecord, NfsClient, NfsClientReport


class ListClients(Frozen):
    """Ask for all clients, or for those that hold something on a share."""

    op: Literal["list-clients"] = "list-clients"
    share: str | None = None


class GetClient(Frozen):
    """Ask for one client with all it holds."""

    op: Literal["get-client"] = "get-client"
    number: int


class ExpireClient(Frozen):
    """End a client's session and take from it what it holds."""

    op: Literal["expire-client"] = "expire-client"
    number: int


class ClientsReply(Frozen):
    """NFSv4 clients by number, and what NFSv3 clients have mounted."""

    kind: Literal["clients"] = "clients"
    clients: tuple[NfsClient, ...]
    mounts: tuple[MountRecord, ...]


class ClientReply(Frozen):
    """One client with all it holds."""

    kind: Literal["client"] = "client"
    report: NfsClientReport


ClientRequest = Annotated[ListClients | GetClient | ExpireClient, Field(discriminator="op")]
ClientAnswer = Annotated[ClientsReply | ClientReply, Field(discriminator="kind")]
