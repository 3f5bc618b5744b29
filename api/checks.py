"""The routes of handle checks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, Field

from api.auth import guarded_router
from api.problems import responses
from api.shares import Control, Name
from appliance.control.checks import (
    CancelCheck,
    CheckReply,
    CheckReportReply,
    ChecksReply,
    GetCheck,
    ListChecks,
    StartCheck,
)
from appliance.control.messages import Done
from appliance.model.handles import CheckWanted, HandleCheck, HandleCheckReport

router = guarded_router(prefix="/v1/shares/{name}/handle-checks", tag="handle checks", changing="operate")

Number = Annotated[int, Path(description="Number of the check.", ge=1, le=2**53)]


class HandleCheckList(BaseModel):
    """A share's checks."""

    checks: tuple[HandleCheck, ...] = Field(description="The checks, the newest first; the last hundred are kept.")


@router.post(
    "",
    status_code=202,
    responses=responses("not-json", "share-not-found", "share-not-served", "check-running", "clients-hold-state"),
)
async def start_check(name: Name, wanted: CheckWanted, supervisor: Control, response: Response) -> HandleCheck:
    """Begin a check of the handles that clients may hold; GET tells how far it is."""
    reply = await supervisor.ask(StartCheck(name=name, wanted=wanted), CheckReply)
    response.headers["Location"] = f"/v1/shares/{name}/handle-checks/{reply.check.id}"
    return reply.check


@router.get("", responses=responses("share-not-found"))
async def list_checks(name: Name, supervisor: Control) -> HandleCheckList:
    """List a share's checks."""
    reply = await supervisor.ask(ListChecks(name=name), ChecksReply)
    return HandleCheckList(checks=reply.checks)


@router.get("/{number}", responses=responses("check-not-found"))
async def get_check(name: Name, number: Number, supervisor: Control) -> HandleCheckReport:
    """Return a check with its progress while it runs, and its findings when it is done."""
    return (await supervisor.ask(GetCheck(name=name, id=number), CheckReportReply)).report


@router.delete("/{number}", status_code=204, responses=responses("check-not-found"))
async def cancel_check(name: Name, number: Number, supervisor: Control) -> None:
    """End a check that runs. One that has ended stays as it is."""
    await supervisor.ask(CancelCheck(name=name, id=number), Done)
