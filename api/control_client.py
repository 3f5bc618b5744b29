"""Asking the supervisor: one connection and one message each way per question."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from api.problems import ApiError, Problem
from appliance.control.messages import MAX_MESSAGE, REPLIES, Failure, Question, Request, encode

_Expected = TypeVar("_Expected", bound=BaseModel)


class ControlClient:
    """Speaks to the supervisor's control socket."""

    def __init__(self, path: Path, timeout: float, by: str = "") -> None:
        """`timeout` is how long a change may take, in seconds; `by` is who asks."""
        self._path = path
        self._timeout = timeout
        self._by = by

    def on_behalf_of(self, by: str) -> ControlClient:
        """Return a client that asks for somebody else."""
        return ControlClient(self._path, self._timeout, by)

    async def ask(self, request: Request, expected: type[_Expected]) -> _Expected:
        """Return the supervisor's reply; raises ApiError for its refusals, its absence and its silence."""
        try:
            async with asyncio.timeout(self._timeout):
                line = await self._exchange(encode(Question(by=self._by, request=request)))
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise _unavailable(repr(error)) from error
        reply = REPLIES.validate_json(line)
        if isinstance(reply, Failure):
            raise ApiError.of(reply)
        if not isinstance(reply, expected):
            raise _unavailable(f"it replied with {reply.kind}")
        return reply

    async def _exchange(self, message: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=MAX_MESSAGE)
        try:
            writer.write(message)
            await writer.drain()
            return await reader.readuntil(b"\n")
        finally:
            writer.close()


def _unavailable(reason: str) -> ApiError:
    return ApiError(
        Problem(
            code="supervisor-unavailable",
            message=f"the supervisor does not answer: {reason}",
            field=None,
            hint="it is starting or stopping, or see the container's log",
        )
    )
