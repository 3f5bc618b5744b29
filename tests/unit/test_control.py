"""The control protocol, and the socket it is spoken over."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from api.control_client import ControlClient
from api.problems import ApiError
from appliance.control import messages as control
from appliance.control.messages import (
    MAX_MESSAGE,
    REPLIES,
    CreateShare,
    DeleteShare,
    Done,
    Failure,
    GetReadiness,
    GetShare,
    ListShares,
    Question,
    Readiness,
    ReadinessReply,
    Reply,
    Request,
    RotateKey,
    SharesReply,
    UpdateShare,
    encode,
)
from appliance.errors import RequestError, SourceError
from appliance.model import Client, Share, ShareChanges
from appliance.supervisor.control_server import ControlServer

SHARE = Share(name="a", source="/srv/a", clients=(Client(network="10.0.0.0/8"),))
Answer = Callable[[Request, str], Awaitable[Reply]]


@pytest.mark.parametrize(
    "request_",
    [
        ListShares(),
        GetShare(name="a"),
        CreateShare(share=SHARE),
        UpdateShare(name="a", changes=ShareChanges(workers=None, enabled=False)),
        DeleteShare(name="a"),
        RotateKey(name="a"),
        GetReadiness(),
    ],
    ids=lambda request: request.op,
)
def test_requests_arrive_as_they_were_sent(request_: Request) -> None:
    line = encode(Question(by="token a", request=request_))
    assert line.count(b"\n") == 1
    question = Question.model_validate_json(line)
    received = question.request
    assert (question.by, received) == ("token a", request_)
    if isinstance(received, UpdateShare):
        assert received.changes.model_fields_set == {"workers", "enabled"}


def test_every_field_that_people_see_is_described() -> None:
    for model in (
        *(control.ShareView, control.ShareState, control.WorkerView, control.HandleTable),
        *(control.NfsPaths, control.Readiness),
    ):
        properties = model.model_json_schema()["properties"]
        assert [name for name, schema in properties.items() if "description" not in schema] == [], model


def test_a_failure_says_which_field() -> None:
    error = RequestError("no", "hint", code="source-overlaps", field="source")
    assert Failure.of(error) == Failure(code="source-overlaps", message="no", hint="hint", field="source")
    assert Failure.of(SourceError("no")).field is None


def conversation(path: Path, answer: Answer, talk: Callable[[], Awaitable[object]], users: set[int]) -> object:
    """Run a real server for the time of a conversation and return what that returns."""

    async def run() -> object:
        server = ControlServer(path, users, answer)
        await server.start()
        try:
            return await talk()
        finally:
            await server.stop()

    return asyncio.run(run())


async def done(_: Request, by: str) -> Reply:
    return Done()


def ask(path: Path, answer: Answer, request: Request, expected: type[BaseModel]) -> object:
    client = ControlClient(path, timeout=10)
    return conversation(path, answer, lambda: client.ask(request, expected), {os.getuid()})


def test_a_request_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def answer(request: Request, by: str) -> Reply:
        assert request == ListShares()
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        return SharesReply(shares=())

    assert ask(path, answer, ListShares(), SharesReply) == SharesReply(shares=())
    assert not path.exists()


def test_the_supervisor_is_told_who_asks(tmp_path: Path) -> None:
    told: list[str] = []

    async def answer(_: Request, by: str) -> Reply:
        told.append(by)
        return Done()

    client = ControlClient(tmp_path / "s", timeout=10)

    async def talk() -> None:
        await client.on_behalf_of("token a").ask(DeleteShare(name="a"), Done)
        await client.ask(DeleteShare(name="a"), Done)

    conversation(tmp_path / "s", answer, talk, {os.getuid()})
    assert told == ["token a", ""]


def test_refusals_reach_the_one_who_asked(tmp_path: Path) -> None:
    async def refuse(_: Request, by: str) -> Reply:
        raise RequestError("no such share", "look", code="share-not-found", field="name")

    with pytest.raises(ApiError) as caught:
        ask(tmp_path / "s", refuse, GetShare(name="a"), Done)
    problem = caught.value.problem
    assert (problem.code, problem.message, problem.hint, problem.field) == (
        *("share-not-found", "no such share", "look", "name"),
    )


def test_a_defect_in_one_request_does_not_end_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request, by: str) -> Reply:
        if isinstance(request, ListShares):
            raise ZeroDivisionError
        return Done()

    client = ControlClient(tmp_path / "s", timeout=10)

    async def talk() -> object:
        with pytest.raises(ApiError) as caught:
            await client.ask(ListShares(), SharesReply)
        assert caught.value.problem.code == "internal"
        return await client.ask(DeleteShare(name="a"), Done)

    assert conversation(tmp_path / "s", fail, talk, {os.getuid()}) == Done()
    assert "ZeroDivisionError" in caplog.text


async def exchange(path: Path, *lines: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_unix_connection(str(path), limit=2 * MAX_MESSAGE)
    replies = []
    for line in lines:
        writer.write(line)
        replies.append(await reader.readline())
    writer.close()
    return replies


def asked(request: object) -> bytes:
    return json.dumps({"by": "", "request": request}).encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"\xff\xfe\n", None),
        (b"{}\n", None),
        (b'{"op": "get-readiness"}\n', None),
        (asked({"op": "format-disk"}), None),
        (asked({"op": "get-share", "name": 7}), "name"),
        (asked({"op": "get-share", "name": "a", "more": 1}), "more"),
        (asked({"op": "create-share", "share": {"name": "a", "source": "b"}}), "share.source"),
    ],
)
def test_nonsense_is_refused_and_the_next_request_served(tmp_path: Path, line: bytes, field: str | None) -> None:
    async def talk() -> list[bytes]:
        return await exchange(tmp_path / "s", line, encode(Question(request=GetReadiness())))

    replies = conversation(tmp_path / "s", done, talk, {os.getuid()})
    assert isinstance(replies, list)
    refusal = REPLIES.validate_json(replies[0])
    assert isinstance(refusal, Failure)
    assert (refusal.code, refusal.field) == ("invalid", field)
    assert REPLIES.validate_json(replies[1]) == Done()


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    async def talk() -> list[bytes]:
        return await exchange(tmp_path / "s", b"x" * (2 * MAX_MESSAGE))

    replies = conversation(tmp_path / "s", done, talk, {os.getuid()})
    assert isinstance(replies, list)
    assert isinstance(REPLIES.validate_json(replies[0]), Failure)


def test_a_stranger_is_not_answered(tmp_path: Path) -> None:
    async def answer(_: Request, by: str) -> Reply:
        raise AssertionError("the stranger was heard")

    async def talk() -> list[bytes]:
        try:
            return await exchange(tmp_path / "s", encode(Question(request=ListShares())))
        except ConnectionError:  # the server hung up on a request that it had not read
            return [b""]

    assert conversation(tmp_path / "s", answer, talk, {os.getuid() + 1}) == [b""]


def test_an_absent_supervisor_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ApiError) as caught:
        asyncio.run(ControlClient(tmp_path / "none", timeout=1).ask(ListShares(), SharesReply))
    assert caught.value.problem.code == "supervisor-unavailable"


def test_a_silent_supervisor_is_given_up(tmp_path: Path) -> None:
    async def never(_: Request, by: str) -> Reply:
        await asyncio.sleep(60)
        return Done()

    client = ControlClient(tmp_path / "s", timeout=0.1)

    async def talk() -> object:
        with pytest.raises(ApiError) as caught:
            await client.ask(ListShares(), SharesReply)
        return caught.value.problem.code

    assert conversation(tmp_path / "s", never, talk, {os.getuid()}) == "supervisor-unavailable"


def test_a_reply_of_another_kind_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    readiness = Readiness(ready=True, nfs=True, shares_enabled=0, shares_ready=0)

    async def answer(_: Request, by: str) -> Reply:
        return ReadinessReply(readiness=readiness)

    with pytest.raises(ApiError, match="readiness"):
        ask(tmp_path / "s", answer, ListShares(), SharesReply)
