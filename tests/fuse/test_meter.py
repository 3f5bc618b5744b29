"""What workers count of real requests, also of workers that died since."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from appliance.control.checks import GetNumbers, NumbersReply
from appliance.fuse.meter import OperationTotals
from appliance.fuse.operation_numbers import OPERATIONS
from tests.support.appliance import running
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)


def test_the_room_on_the_source_is_told(disk: Filesystem, tmp_path: Path, watch: Janitor) -> None:
    source = disk.source / "room"
    source.mkdir()

    async def body() -> None:
        async with running(tmp_path, canary_interval=0.1) as appliance:
            await appliance.share("a", source)
            async with asyncio.timeout(200):
                while not appliance.executor.capacity:
                    await asyncio.sleep(0.02)
            reply = await appliance.desk.answer(GetNumbers())
            assert isinstance(reply, NumbersReply)
            (share,) = reply.shares
            found = os.statvfs(source)
            assert share.served
            assert share.capacity is not None
            assert share.capacity.bytes_total == found.f_blocks * found.f_frsize
            assert share.capacity.inodes_total == found.f_files
            assert share.data is not None
            assert share.data.workers == 2

    asyncio.run(body())


def test_requests_are_counted_whoever_served_them(disk: Filesystem, tmp_path: Path, watch: Janitor) -> None:
    source = disk.source / "metered"
    source.mkdir()

    def work(mount: Path) -> None:
        for number in range(10):
            (mount / f"d{number}").mkdir()
            with contextlib.suppress(OSError):
                os.removexattr(mount / f"d{number}", "user.none")

    async def body() -> None:
        async with running(tmp_path) as appliance:
            await appliance.share("a", source)
            served = appliance.executor.served["a"]

            def counted() -> dict[str, OperationTotals]:
                return {OPERATIONS[one.operation]: one for one in served.totals().operations}

            assert "mkdir" not in counted()
            await asyncio.to_thread(work, appliance.settings.exports_dir / "a")
            before = counted()["mkdir"]
            assert (before.count, before.errors, before.seconds > 0) == (10, 0, True)
            assert (counted()["removexattr"].count, counted()["removexattr"].errors) == (10, 10)
            hits = served.totals().cache_hits
            assert hits > 0
            for worker in (await served.state()).workers:
                os.kill(worker.pid, signal.SIGKILL)
            async with asyncio.timeout(200):
                while (await served.state()).worker_deaths < 1 or not served.serving:
                    await asyncio.sleep(0.02)
                await asyncio.to_thread((appliance.settings.exports_dir / "a" / "after").mkdir)
            assert counted()["mkdir"].count == before.count + 1
            assert served.totals().cache_hits >= hits
            assert served.figures().deaths >= 1

    asyncio.run(body())
