"""Running a checker: a child process that may hang on its share without anybody hanging on it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.checks.messages import ANSWERS, Answer, CheckOrder, DecodeOrder, Failed, NameOrder
from appliance.errors import HoldfastError
from appliance.logs import facts
from appliance.nfs.commands import ENVIRONMENT

_LOG = facts(__name__)
_LINE = 64 * 1024 * 1024  # bytes; a finished check brings all samples in one line
_KILL_SECONDS = 2.0
_START_SECONDS = 60.0  # for a Python process on a busy machine


class CheckError(HoldfastError):
    """A check could not be made."""

    code = "check-failed"
    exit_code = 70


async def ask(order: CheckOrder | DecodeOrder | NameOrder, patience: float) -> AsyncIterator[Answer]:
    """Give an order to a checker of its own and yield its answers as they come.

    Raises CheckError when it says nothing for `patience` seconds, ends early or reports a failure. Whoever stops
    listening ends it.
    """
    async with _running(order.share.source) as process:
        assert process.stdin is not None  # noqa: S101 - PIPE below
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(ConnectionError):
            process.stdin.write(order.model_dump_json().encode())
            await process.stdin.drain()
        process.stdin.close()
        waited = max(patience, _START_SECONDS)  # the first answer comes before the share is touched
        while True:
            try:
                async with asyncio.timeout(waited):
                    line = await process.stdout.readline()
            except TimeoutError:
                raise CheckError(
                    f"{order.share.name} did not answer for {waited:g} s",
                    "its storage or its workers hang; GET /v1/shares tells the share's state",
                    code="no-answer",
                ) from None
            if not line:
                return
            waited = patience
            answer = ANSWERS.validate_json(line)
            if isinstance(answer, Failed):
                raise CheckError(answer.message, answer.hint, code=answer.code)
            yield answer


@asynccontextmanager
async def _running(source: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "appliance.checks"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
        pass_fds=(source,),
        start_new_session=True,
        limit=_LINE,
    )
    try:
        yield process
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a child and wait for its end, but not for ever: the kernel lets nobody go who waits for a reply of FUSE."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    try:
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()
    except TimeoutError:
        _LOG.warning("a checker hangs and is left behind", pid=process.pid)
