"""Parts of the supervisor's composition."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from appliance.supervisor.service import _endless


async def _fails() -> None:
    raise ValueError("a defect")


async def _runs() -> None:
    await asyncio.sleep(60)


def test_a_task_that_should_not_end_does_not_end_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with AsyncExitStack() as stack:
            _endless(stack, _fails(), "this")
            _endless(stack, _runs(), "that")
            await asyncio.sleep(0)

    asyncio.run(body())
    (record,) = caplog.records
    assert record.holdfast_fields == {"part": "this", "reason": "ValueError('a defect')"}  # type: ignore[attr-defined]
