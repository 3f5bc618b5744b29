"""Parts of the supervisor that are to run for ever."""

from __future__ import annotations

import asyncio

import pytest

from appliance.backoff import Backoff
from appliance.supervisor import endless


def test_a_part_that_has_ended_is_started_again_and_that_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endless, "Backoff", lambda **_: Backoff(first=0.0))
    begun = 0

    async def part() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ValueError("a defect")
        if begun == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(endless.endless(part, "this"))
    told = [record.holdfast_fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [each["reason"] for each in told] == ["ValueError('a defect')", "it has returned"]
    assert {each["part"] for each in told} == {"this"}
