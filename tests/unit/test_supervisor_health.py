"""Findings: what is wrong, since when; events when they begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.control.messages import ShareState
from appliance.model import Share
from appliance.model.health import HealthReport
from appliance.model.numbers import Capacity
from appliance.supervisor.health import Health, of_capacity, of_state
from tests.support.played_nfs import PlayedSide
from tests.unit.test_supervisor_requests import Appliance, running


class Side(PlayedSide):
    """An NFS side with problems that a test chooses."""

    wrong: Sequence[str] = ()
    lacks: Sequence[tuple[str, str, str]] = ()

    async def problems(self) -> list[str]:
        return list(self.wrong)

    async def unprotected(self, _shares: Sequence[Share]) -> list[tuple[str, str, str]]:
        return list(self.lacks)


def codes(report: HealthReport) -> list[tuple[str, str, str | None]]:
    return [(one.code, one.severity, one.share) for one in report.findings]


def test_findings_come_and_go_with_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]

    async def body(appliance: Appliance) -> None:
        side = Side(appliance.server)
        health = Health(appliance.store, appliance.executor, side, appliance.events, now=lambda: clock[0])
        assert await health.report() == HealthReport(status="ok", findings=())
        await appliance.create("a")
        side.lacks = [("tls-missing", "no tlshd runs", "start it")]
        report = await health.report()
        assert (report.status, codes(report)) == ("critical", [("tls-missing", "critical", None)])
        assert "no tlshd runs" in report.findings[0].message
        side.lacks = []
        assert (await health.report()).status == "ok"
        side.wrong = ["nfsdcld was killed", "the NFS server does not answer"]
        report = await health.report()
        assert (report.status, codes(report)) == ("critical", [("nfs-side", "critical", None)])
        assert report.findings[0].message == "nfsdcld was killed; the NFS server does not answer"
        assert report.findings[0].since == 100.0

        clock[0] = 200.0
        side.wrong = ["the NFS server does not answer"]
        appliance.path.mounts.clear()  # umount -l by hand, and nobody has looked yet
        appliance.executor.capacity["a"] = Capacity(
            bytes_total=1000, bytes_free=60, bytes_available=40, inodes_total=100, inodes_free=50
        )
        report = await health.report()
        assert codes(report) == [
            ("nfs-side", "critical", None), ("share-not-in-force", "critical", "a"), ("source-full", "warning", "a"),
        ]  # fmt: skip
        assert [one.since for one in report.findings] == [100.0, 200.0, 200.0]
        assert all(one.hint for one in report.findings)

        side.wrong = []
        appliance.executor.capacity.clear()
        await appliance.reconciler.reconcile()
        assert (await health.report()).status == "ok"
        told = [(one.kind, one.data["code"]) for one in reversed(appliance.events.newest()) if "finding" in one.kind]
        expected = ["nfs-side", "share-not-in-force", "source-full"]
        assert told[:2] == [("finding", "tls-missing"), ("finding-over", "tls-missing")]
        assert told[2:] == [(kind, code) for kind in ("finding", "finding-over") for code in expected]

    async def run() -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            await body(appliance)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "severity"),
    [("starting", "info"), ("degraded", "warning"), ("unhealthy", "critical"), ("failed", "critical")],
)
def test_a_share_s_state_is_a_finding(status: str, severity: str) -> None:
    (seen,) = of_state("a", ShareState.model_validate({"status": status, "reason": "r", "hint": "h"}))
    assert (seen.code, seen.severity, seen.message, seen.hint) == (f"share-{status}", severity, "r", "h")


@pytest.mark.parametrize("status", ["ok", "disabled"])
def test_a_share_that_is_well_is_none(status: str) -> None:
    assert of_state("a", ShareState.model_validate({"status": status})) == []


def test_room_is_told_when_little_is_left() -> None:
    # A filesystem without a fixed number of inodes says that it has none.
    plenty = Capacity(bytes_total=1000, bytes_free=50, bytes_available=50, inodes_total=0, inodes_free=0)
    assert of_capacity("a", plenty) == []
    assert of_capacity("a", None) == []
    little = Capacity(bytes_total=1000, bytes_free=900, bytes_available=49, inodes_total=100, inodes_free=4)
    assert [one.code for one in of_capacity("a", little)] == ["source-full", "source-out-of-inodes"]
