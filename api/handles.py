"""The route that tells what a handle names."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import guarded_router
from api.problems import responses
from api.shares import Control
from appliance.control.checks import DecodedReply, DecodeHandle
from appliance.model.handles import DecodedHandle

router = guarded_router(prefix="/v1/handles", tag="handles", changing="read")


class HandleText(BaseModel):
    """A handle as it was found."""

    model_config = ConfigDict(extra="forbid")

    hex: str = Field(
        max_length=2048,
        description="Hexadecimal digits of an NFS file handle, as in a packet capture; of a handle on a FUSE mount; or "
        "of one of the source's filesystem. With or without 0x, colons, spaces and the head of struct file_handle.",
        examples=["01 00 06 81 ..."],
    )


@router.post("/decode", responses=responses("not-json", "handle-invalid"))
async def decode_handle(handle: HandleText, supervisor: Control) -> DecodedHandle:
    """Tell which share and file a handle names, and if it names none any more, why."""
    return (await supervisor.ask(DecodeHandle(hex=handle.hex), DecodedReply)).decoded
