"""What the API and the supervisor say to each other: one JSON object a line over a unix stream socket.

Each request gets one reply. Both sides validate what they receive, so neither has to trust the other's version.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter

from appliance.control.access import AccessAnswer, AccessRequest
from appliance.control.checks import CheckAnswer, CheckRequest
from appliance.control.clients import ClientAnswer, ClientRequest
from appliance.control.config import ConfigAnswer, ConfigRequest, Match
from appliance.control.server_settings import ServerReply, ServerRequest
from appliance.errors import HoldfastError, RequestError
from appliance.model import Owner, Share, ShareChanges
from appliance.model.frozen import Frozen
from appliance.model.handles import HandleHealth

MAX_MESSAGE = 64 << 20  # bytes of one line; far above a configuration with as many shares as the model allows

Status = Literal["ok", "starting", "degraded", "unhealthy", "failed", "disabled"]


class WorkerView(Frozen):
    """One worker process of a share, as it was when it was asked."""

    pid: int = Field(description="Process id in the container.")
    serving: bool = Field(description="Whether it is attached to the share's connection.")
    requests: int = Field(description="Requests it has answered since it started.")
    errors: int = Field(description="Requests among them that it answered with an error, such as a name not found.")
    descriptors: int = Field(description="Files it keeps open for speed.")
    cache_hits: int = Field(description="Requests that found their file open.")
    cache_misses: int = Field(description="Requests that had to open their file by handle.")


class HandleTable(Frozen):
    """The table of handles of a share whose filesystem's handles do not fit into node ids, such as tmpfs."""

    entries: int = Field(description="Inodes in the table: all that clients were ever shown. It never shrinks.")
    added: int = Field(description="Inodes among them that were added since this supervisor began to serve the share.")
    bytes: int = Field(description="Size of the table on the state volume, in bytes.")


class DataPathView(Frozen):
    """Who reads and writes the share's files: the kernel itself (FUSE passthrough), or the workers."""

    passthrough: bool = Field(description="Whether the kernel does, for every file that it can.")
    reason: str = Field(description="Why the workers do, or for which files; empty if the kernel does for all.")
    open_files: int | None = Field(
        description="Files that NFS clients or programs have open; null where they are not counted, for which libfuse "
        "is too old."
    )
    backing_ids: int = Field(description="Open inodes that the kernel reads and writes itself.")


class CachingView(Frozen):
    """Whether changes that local processes make to the source are noticed, or seen only when time-outs end."""

    watched: bool = Field(description="Whether they are noticed (fanotify).")
    reason: str = Field(description="Why they are not; empty if they are.")


class ShareState(Frozen):
    """How a share is doing."""

    status: Status = Field(
        description="ok: served · starting: not served yet · degraded: served, but something is being mended · "
        "unhealthy: a handle does not name its file, nothing is answered, or the source is gone · "
        "failed: not served, its clients wait · disabled: not to be served."
    )
    reason: str = Field(default="", description="What is wrong, if something is.")
    hint: str = Field(default="", description="The step that mends it, if a person has to take it.")
    workers: tuple[WorkerView, ...] = Field(default=(), description="The worker processes.")
    worker_deaths: int = Field(default=0, description="Workers that died unasked since the share was mounted.")
    refused_requests: int = Field(
        default=0, description="Requests answered with EIO because each worker that took them died."
    )
    recoveries: int = Field(default=0, description="Times that service was restored after a death.")
    last_recovery_ms: float | None = Field(default=None, description="How long the last recovery took, in ms.")
    data_path: DataPathView | None = Field(
        default=None, description="Who reads and writes the share's files; null until the workers have told."
    )
    caching: CachingView | None = Field(
        default=None, description="Whether local changes are noticed; null until the workers have told."
    )
    handle_table: HandleTable | None = Field(
        default=None, description="The share's table of handles; null for a filesystem that needs none."
    )
    handles: HandleHealth = Field(default=HandleHealth(), description="What checks say of the handles given out.")


class NfsPaths(Frozen):
    """What clients put behind `SERVER:`."""

    v4: str = Field(description="Path for NFSv4 clients: mount SERVER:PATH.", examples=["/projects"])
    v3: str | None = Field(
        description="Path for NFSv3 clients; null while NFSv3 is off.", examples=["/exports/projects"]
    )


class ShareView(Share):
    """A share with what the appliance adds to it."""

    owner: Owner = Field(
        description="Who may change the share: `api` is REST, `file` the file shares.yaml alone."
    )
    revision: str = Field(
        description="Differs whenever the share's description does: the ETag, for If-Match.",
        examples=["9f86d081884c7d65"],
    )
    fsid: UUID = Field(description="The share's identity in its clients' file handles; never used for another one.")
    nfs_paths: NfsPaths = Field(description="What clients mount.")
    state: ShareState = Field(description="How the share is doing.")


class Readiness(Frozen):
    """Whether every enabled share is mounted, served and exported, and the NFS server is up."""

    ready: bool = Field(description="Whether all is as it should be.")
    nfs: bool = Field(description="Whether the NFS server runs and its daemons are up.")
    shares_enabled: int = Field(description="Shares that should be served.")
    shares_ready: int = Field(description="Shares that are served and exported.")
    problems: tuple[str, ...] = Field(default=(), description="What is not as it should be.")


class ListShares(Frozen):
    """Ask for all shares."""

    op: Literal["list-shares"] = "list-shares"


class GetShare(Frozen):
    """Ask for one share."""

    op: Literal["get-share"] = "get-share"
    name: str


class CreateShare(Frozen):
    """Add a share."""

    op: Literal["create-share"] = "create-share"
    share: Share
    dry_run: bool = False


class UpdateShare(Frozen):
    """Change a share."""

    op: Literal["update-share"] = "update-share"
    name: str
    changes: ShareChanges
    match: Match | None = None
    dry_run: bool = False


class DeleteShare(Frozen):
    """Remove a share."""

    op: Literal["delete-share"] = "delete-share"
    name: str
    match: Match | None = None
    dry_run: bool = False


class RotateKey(Frozen):
    """Make all handles that were given out for a share stale."""

    op: Literal["rotate-key"] = "rotate-key"
    name: str
    match: Match | None = None


class AcceptSource(Frozen):
    """Have a share be about what is at its source's path now."""

    op: Literal["accept-source"] = "accept-source"
    name: str
    match: Match | None = None


class GetReadiness(Frozen):
    """Ask whether the appliance serves all it should."""

    op: Literal["get-readiness"] = "get-readiness"


class ShareReply(Frozen):
    """One share."""

    kind: Literal["share"] = "share"
    share: ShareView


class SharesReply(Frozen):
    """All shares, by name."""

    kind: Literal["shares"] = "shares"
    shares: tuple[ShareView, ...]


class ReadinessReply(Frozen):
    """The answer to GetReadiness."""

    kind: Literal["readiness"] = "readiness"
    readiness: Readiness


class Done(Frozen):
    """It was done, and there is nothing to tell."""

    kind: Literal["done"] = "done"


class Failure(Frozen):
    """It was not done, and nothing has changed."""

    kind: Literal["failure"] = "failure"
    code: str
    message: str
    hint: str = ""
    field: str | None = None

    @classmethod
    def of(cls, error: HoldfastError) -> Failure:
        """Turn an error into a reply."""
        field = error.field if isinstance(error, RequestError) else None
        return cls(code=error.code, message=error.message, hint=error.hint, field=field)


ShareRequest = Annotated[
    ListShares | GetShare | CreateShare | UpdateShare | DeleteShare | RotateKey | AcceptSource | GetReadiness,
    Field(discriminator="op"),
]
Request = Annotated[
    ShareRequest | ConfigRequest | ServerRequest | CheckRequest | AccessRequest | ClientRequest,
    Field(discriminator="op"),
]
Reply = Annotated[
    ShareReply
    | SharesReply
    | ReadinessReply
    | Done
    | Failure
    | CheckAnswer
    | ConfigAnswer
    | ServerReply
    | AccessAnswer
    | ClientAnswer,
    Field(discriminator="kind"),
]


class Question(Frozen):
    """A request and who makes it, as the API has found out; empty for one that needs no credentials."""

    by: str = ""
    request: Request


REPLIES: TypeAdapter[Reply] = TypeAdapter(Reply)


def encode(message: BaseModel) -> bytes:
    """Return a message as one line."""
    return message.model_dump_json().encode() + b"\n"
