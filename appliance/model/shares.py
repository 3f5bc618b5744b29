"""What a share is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from appliance.model.clients import Client
from appliance.model.frozen import Frozen
from appliance.model.paths import NfsPath, PlainPath

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"  # pydantic's engine: `$` is the very end, not before a newline
_TEXT = r"^[^\x00-\x1f\x7f]*$"  # one line: it is shown in tables and logs

ShareName = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="Name of the share and of the directory that clients mount: letters, digits, '.', '_' and '-', "
        "at most 63, the first a letter or a digit.",
        examples=["projects"],
    ),
]
WhenSourceMissing = Literal["wait", "unexport"]
Caching = Literal["exclusive", "shared"]
Workers = Annotated[int, Field(strict=True, ge=1, le=64)]
Comment = Annotated[str, Field(max_length=1024, pattern=_TEXT)]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")]
Labels = Annotated[
    dict[LabelKey, Annotated[str, Field(max_length=255, pattern=_TEXT)]],
    Field(max_length=64, examples=[{"team": "video"}]),
]


def _differ(clients: tuple[Client, ...]) -> tuple[Client, ...]:
    seen: set[str] = set()
    for client in clients:
        if client.address in seen:
            raise ValueError(f"{client.address} is there twice")
        seen.add(client.address)
    return clients


class Share(Frozen):
    """A source directory and to whom it is served. Defaults are safe: nobody may mount it until said otherwise."""

    name: ShareName
    source: PlainPath = Field(
        description="Directory in the container that is shared, as an absolute path without '.' or '..'.",
        examples=["/srv/projects"],
    )
    clients: Annotated[tuple[Client, ...], AfterValidator(_differ)] = Field(
        default=(),
        max_length=1024,
        description="Who may mount the share. Empty: nobody; the whole world only by 0.0.0.0/0.",
    )
    sync: bool = Field(
        default=True,
        strict=True,
        description="Whether what clients were told is written is on storage. Without it, a cut of the server's power "
        "loses data that clients believe is safe.",
    )
    nfs_path: NfsPath | None = Field(
        default=None,
        description="Where clients find the share, as in SERVER:/media/films; /NAME unless given. A change mounts the "
        "share anew: handles stay good, what clients hold open is lost to them.",
        examples=["/media/films"],
    )
    workers: Workers | None = Field(
        default=None,
        description="Worker processes that serve the share; the appliance's default unless given.",
    )
    when_source_missing: WhenSourceMissing = Field(
        default="wait",
        description="What clients see while the source is gone (unmounted, its device removed, something else in its "
        "place), until it is back and proved to be the same. wait: they wait, and then go on with what they had open. "
        "unexport: ESTALE at once, and the filesystem is let go of.",
    )
    caching: Caching = Field(
        default="shared",
        description="Who changes the source. shared: local processes do as well; what they change is noticed, and "
        "otherwise believed for at most a second. exclusive: NFS clients alone; names and attributes are believed for "
        "an hour, and for so long a local change may not be seen.",
    )
    enabled: bool = Field(
        default=True, strict=True, description="Whether the share is served. Clients of a disabled one see ESTALE."
    )
    comment: Comment = Field(default="", description="What people should know about it; one line.")
    labels: Labels = Field(default={}, description="Words of your own to sort shares by; they change nothing.")

    @property
    def export_path(self) -> str:
        """Where clients find it, below the root of what is exported."""
        return self.nfs_path or f"/{self.name}"
