"""The benchmark of many shares runs, and what is read for all of them is read once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from appliance.supervisor import mountinfo
from appliance.supervisor.views import readiness
from tests.bench.shares import measure
from tests.unit.test_supervisor_requests import running


def test_the_benchmark_runs(tmp_path: Path) -> None:
    results = asyncio.run(measure(tmp_path, 5))
    assert {"list", "apply, all new", "reconcile, all mounts gone", "readiness"} <= results.keys()


def test_the_tables_of_mounts_and_exports_are_read_once_for_all_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            for name in ("a", "b"):
                await appliance.create(name)
            below, exported = mountinfo.below, appliance.server.exported
            read: list[str] = []

            def noted(what: str, result: Any) -> Any:
                read.append(what)
                return result

            monkeypatch.setattr(mountinfo, "below", lambda path: noted("mounts", below(path)))
            monkeypatch.setattr(appliance.server, "exported", lambda: noted("exports", exported()))
            found = await readiness(appliance.executor, appliance.store.shares(), [])
            assert (found.shares_enabled, found.shares_ready) == (2, 2)
            assert sorted(read) == ["exports", "mounts"]

    asyncio.run(body())
