"""The routes of the whole configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response
from fastapi.responses import PlainTextResponse

from api.auth import guarded_router
from api.preconditions import ETAG, MatchRequired, etag
from api.problems import SHARE_REFUSALS, responses
from api.shares import Control, DryRun
from appliance.config_text import render
from appliance.control.config import (
    ApplyConfig,
    ConfigFileReply,
    ConfigReply,
    FileStatus,
    GetConfig,
    GetConfigFile,
    PreviewReply,
)
from appliance.control.messages import Done
from appliance.model import Config
from appliance.model.previews import Preview

router = guarded_router(prefix="/v1/config", tag="configuration")

_YAML = "application/yaml"
_EXAMPLE = """version: 1
shares:
- name: media
  source: /srv/media
  clients:
  - network: 192.0.2.0/24
    access: rw
"""


@router.get(
    "",
    response_model=Config,
    responses={200: {"headers": ETAG, "content": {_YAML: {"example": _EXAMPLE}}}, **responses()},
)
async def get_config(
    supervisor: Control,
    response: Response,
    form: Annotated[
        Literal["json", "yaml"], Query(alias="format", description="yaml: as a file `shares.yaml` has it.")
    ] = "json",
) -> Config | Response:
    """Return all shares as one document, which PUT and the file `shares.yaml` take as it is."""
    reply = await supervisor.ask(GetConfig(), ConfigReply)
    if form == "yaml":
        return PlainTextResponse(render(reply.config), headers={"ETag": etag(reply.revision)}, media_type=_YAML)
    response.headers["ETag"] = etag(reply.revision)
    return reply.config


@router.put(
    "",
    responses={
        200: {"headers": ETAG},
        **responses("not-json", "owned-by-file", "revision-changed", "match-required", *SHARE_REFUSALS),
    },
)
async def put_config(
    config: Config, supervisor: Control, response: Response, match: MatchRequired, dry_run: DryRun = False
) -> Config | Preview:
    """Make these all shares: what is not among them is removed, all in one step or none.

    Shares that the file `shares.yaml` owns stay as they are; they may be in the document as they are, or not at all.
    """
    question = ApplyConfig(config=config, match=match, dry_run=dry_run)
    if dry_run:
        return (await supervisor.ask(question, PreviewReply)).preview
    await supervisor.ask(question, Done)
    reply = await supervisor.ask(GetConfig(), ConfigReply)
    response.headers["ETag"] = etag(reply.revision)
    return reply.config


@router.get("/file")
async def get_config_file(supervisor: Control) -> FileStatus:
    """Tell what became of the file `shares.yaml`, and which shares it owns."""
    return (await supervisor.ask(GetConfigFile(), ConfigFileReply)).status
