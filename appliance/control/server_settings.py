"""What the API and the supervisor say to each other about the NFS server's settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.control.config import Match
from appliance.model.frozen import Frozen
from appliance.model.server import ServerChanges, ServerSettings, Version


class ServerView(Frozen):
    """The NFS server's settings as they are, or after a rehearsal: as they would be."""

    versions: tuple[Version, ...] = Field(description="The versions of NFS that are served.")
    threads: int | Literal["auto"] = Field(description="Threads of the kernel's NFS server.")
    lease: int = Field(description="Seconds after which a silent NFSv4 client may lose its locks and opens.")
    grace: int = Field(description="Seconds after a start in which clients may only reclaim what they had.")
    addresses: tuple[str, ...] = Field(description="Addresses that it listens on, besides 127.0.0.1; empty: all.")
    mountd_port: int = Field(description="Port of rpc.mountd.")
    statd_port: int = Field(description="Port of rpc.statd.")
    set: ServerSettings = Field(description="What was set by PATCH; what is null is as the environment has it.")
    started_anew_for: tuple[str, ...] = Field(
        description="The settings for which this change started the NFS server anew, or would: its clients wait "
        "meanwhile, and reclaim what they hold within the grace time. Empty where nothing was changed.",
        examples=[["lease"]],
    )
    revision: str = Field(description="Differs whenever what was set does: the ETag, for If-Match.")


class GetServer(Frozen):
    """Ask for the NFS server's settings."""

    op: Literal["get-server"] = "get-server"


class UpdateServer(Frozen):
    """Change the NFS server's settings."""

    op: Literal["update-server"] = "update-server"
    changes: ServerChanges
    match: Match | None = None
    dry_run: bool = False


class ServerReply(Frozen):
    """The NFS server's settings."""

    kind: Literal["server"] = "server"
    server: ServerView


ServerRequest = Annotated[GetServer | UpdateServer, Field(discriminator="op")]
