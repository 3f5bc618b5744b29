"""What a share is."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from appliance.frozen import Frozen
from appliance.model.clients import Client
from appliance.model.paths import PlainPath

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"  # pydantic's engine: `$` is the very end, not before a newline

ShareName = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="Name of the share and of the directory that clients mount: letters, digits, '.', '_' and '-', "
        "at most 63, the first a letter or a digit.",
        examples=["projects"],
    ),
]
Workers = Annotated[int, Field(strict=True, ge=1, le=64)]


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
        max_length=256,
        description="Who may mount the share. Empty: nobody; the whole world only by 0.0.0.0/0.",
    )
    workers: Workers | None = Field(
        default=None,
        description="Worker processes that serve the share; the appliance's default unless given.",
    )
    enabled: bool = Field(
        default=True, strict=True, description="Whether the share is served. Clients of a disabled one see ESTALE."
    )
