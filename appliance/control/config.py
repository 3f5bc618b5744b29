"""What the API and the supervisor say to each other about the whole configuration, and about what changes would do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.model import Config
from appliance.model.frozen import Frozen
from appliance.model.previews import Preview

Match = tuple[str, ...]
"""Revisions of which one has to be in force for a change to be made; `*` is any."""


class FileStatus(Frozen):
    """What became of `shares.yaml`."""

    path: str = Field(description="Where the file is looked for.", examples=["/etc/holdfast/shares.yaml"])
    state: Literal["absent", "applied", "refused"] = Field(
        description="absent: there is none · applied: it is in force · refused: it is not, what was in force before is."
    )
    owns: Literal["listed", "all"] = Field(description="What the file in force says that it owns.")
    shares: tuple[str, ...] = Field(description="The shares that the file owns, and nobody else may change.")
    reason: str = Field(default="", description="Why the file was refused.")
    hint: str = Field(default="", description="The step that mends it.")
    since: float = Field(description="When it came to be so, in seconds since the epoch.")


class GetConfig(Frozen):
    """Ask for the whole configuration."""

    op: Literal["get-config"] = "get-config"


class GetConfigFile(Frozen):
    """Ask what became of the file."""

    op: Literal["get-config-file"] = "get-config-file"


class ApplyConfig(Frozen):
    """Make this the whole configuration, but for what the file owns."""

    op: Literal["apply-config"] = "apply-config"
    config: Config
    match: Match | None = None
    dry_run: bool = False


class ConfigReply(Frozen):
    """The whole configuration."""

    kind: Literal["config"] = "config"
    config: Config
    revision: str


class ConfigFileReply(Frozen):
    """What became of the file."""

    kind: Literal["config-file"] = "config-file"
    status: FileStatus


class PreviewReply(Frozen):
    """What would change."""

    kind: Literal["preview"] = "preview"
    preview: Preview


ConfigRequest = Annotated[GetConfig | GetConfigFile | ApplyConfig, Field(discriminator="op")]
ConfigAnswer = Annotated[ConfigReply | ConfigFileReply | PreviewReply, Field(discriminator="kind")]
