"""Checks as the supervisor makes them, over real mounts: modes, hanging shares, canaries, and what is told of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.checks import fileid
from appliance.control.checks import (
    CancelCheck,
    CheckReply,
    DecodedReply,
    DecodeHandle,
    EventsReply,
    ListEvents,
    StartCheck,
)
from appliance.control.messages import DeleteShare, Done, GetShare, RotateKey, ShareReply, ShareView, UpdateShare
from appliance.errors import RequestError
from appliance.linux import handles
from appliance.model import ShareChanges
from appliance.model.handles import CheckWanted, DecodedHandle
from appliance.state.events import Event, EventFilter
from tests.support.appliance import Appliance, running
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.posix.files import make
from tests.support.processes import children, name
from tests.support.witness import drop_caches

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)  # what depends on the kind of filesystem is in test_checks.py
FILES = 40


@pytest.fixture
def source(disk: Filesystem) -> Iterator[Path]:
    path = disk.source / "checked"
    path.mkdir()
    for directory in range(4):
        (path / f"d{directory}").mkdir()
        for number in range(FILES // 4):
            make(bytes(path / f"d{directory}/f{number}"), b"x" * number)
    yield path
    shutil.rmtree(path)


Body = Callable[[Appliance], Awaitable[None]]


def serve(work: Path, source: Path, body: Body, **settings: float) -> None:
    """Run a body in an appliance that serves `source` as "a"."""

    async def run() -> None:
        async with running(work, **settings) as appliance:
            await appliance.share("a", source)
            await body(appliance)

    asyncio.run(run())


async def view(appliance: Appliance) -> ShareView:
    reply = await appliance.desk.answer(GetShare(name="a"))
    assert isinstance(reply, ShareReply)
    return reply.share


async def events(appliance: Appliance, kind: str) -> tuple[Event, ...]:
    reply = await appliance.desk.answer(ListEvents(filter=EventFilter(share="a", kind=kind)))
    assert isinstance(reply, EventsReply)
    return reply.events


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while not await condition():
            await asyncio.sleep(0.1)


def workers(appliance: Appliance) -> list[int]:
    pool = appliance.executor.served["a"].pool_pid
    assert pool is not None
    # A pool process also forks one that closes what it had open, which ends by itself at any moment.
    return [pid for pid in children(pool) if name(pid) == "holdfast-worker"]


@contextmanager
def nobody_serves(appliance: Appliance) -> Iterator[None]:
    stopped = workers(appliance)
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("mode", ["passive", "evict", "workers", "remount"])
def test_every_handle_is_the_same_after(mode: str, source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        first = await appliance.check("a")
        assert (first.state, first.reason) == ("done", "")
        assert first.counts["same"] >= FILES // 2  # type: ignore[index]
        before = workers(appliance)
        report = await appliance.check("a", mode)  # type: ignore[arg-type]
        assert (report.state, report.reason, report.mode) == ("done", "", mode)
        assert set(report.counts) == {"same"}
        assert (workers(appliance) == before) == (mode in ("passive", "evict"))
        if mode == "remount":
            withheld = ["mountpoint=" in text for text in appliance.server.texts[-2:]]
            assert withheld == [True, False], "clients wait while the share is away, and no longer"
        assert (await view(appliance)).state.status == "ok"
        assert (await view(appliance)).state.handles.samples == sum(report.counts.values())

    serve(tmp_path, source, body)


def test_samples_outlive_the_supervisor(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def sample(appliance: Appliance) -> None:
        await appliance.check("a")

    async def again(appliance: Appliance) -> None:
        kept = appliance.results.samples("a")
        assert len(kept) >= FILES // 2
        drop_caches()
        report = await appliance.check("a")
        assert set(report.counts) == {"same"}
        assert sum(report.counts.values()) >= len(kept)

    serve(tmp_path, source, sample)

    async def restarted() -> None:
        async with running(tmp_path) as appliance:
            await again(appliance)

    asyncio.run(restarted())


def test_one_drift_makes_the_share_unhealthy_until_it_is_forgotten(
    source: Path, tmp_path: Path, watch: Janitor
) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.check("a")
        shutil.copytree(source / "d1", source / "backup", copy_function=shutil.copy2)
        shutil.rmtree(source / "d1")
        (source / "backup").rename(source / "d1")
        report = await appliance.check("a", "workers")
        drifted = [one for one in report.findings if one.outcome == "drift"]
        assert report.drifted == len(drifted) > 0
        assert {one.drift for one in drifted} == {"restored"}
        assert all(one.path.startswith("d1") for one in drifted)
        state = (await view(appliance)).state
        assert (state.status, state.handles.status) == ("unhealthy", "drift")
        assert drifted[0].path in state.reason
        told = await events(appliance, "handle-drift")
        assert len(told) == len(drifted)
        assert {event.data["path"] for event in told} == {one.path for one in drifted}
        assert [numbers.drifts for numbers in await appliance.checks.outcomes.numbers()] == [len(drifted)]
        await appliance.check("a", forget_drift=True)
        assert (await view(appliance)).state.status == "ok"
        assert (await appliance.check("a")).drifted == 0

    serve(tmp_path, source, body)


def test_an_fsid_that_changed_is_told(source: Path, tmp_path: Path, watch: Janitor) -> None:
    sampled = []

    async def body(appliance: Appliance) -> None:
        await appliance.check("a")
        sampled.extend(appliance.results.samples("a"))

    serve(tmp_path, source, body)
    for copy in (tmp_path / "state").glob("holdfast.copy*"):
        copy.unlink()  # from which a changed fsid would be put right
    with sqlite3.connect(tmp_path / "state/holdfast.db") as database:
        database.execute("PRAGMA foreign_keys = OFF")
        fresh = "11111111-2222-4333-8444-555555555555"
        database.execute("UPDATE fsids SET fsid = ?", (fresh,))
        database.execute("UPDATE shares SET fsid = ?", (fresh,))

    async def restarted() -> None:
        async with running(tmp_path) as appliance:
            report = await appliance.check("a")
            assert {one.drift for one in report.findings} == {"fsid-changed"}
            assert report.drifted == len(sampled) >= FILES // 2

    asyncio.run(restarted())


def test_another_source_is_no_drift(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.check("a")
        other = ShareChanges(source=str(source / "d1"))
        await appliance.desk.answer(UpdateShare(name="a", changes=other))
        report = await appliance.check("a")
        assert set(report.counts) == {"same"}
        assert {sample.fsid for sample in appliance.results.samples("a")} == {str((await view(appliance)).fsid)}

    serve(tmp_path, source, body)


def test_a_key_that_was_changed_on_purpose_is_no_drift(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        first = await appliance.check("a")
        handle = _handle_of(appliance.settings.exports_dir / "a", b"d1/f2")
        await appliance.desk.answer(RotateKey(name="a"))
        report = await appliance.check("a")
        total = sum(first.counts.values())
        assert set(report.counts) == {"same", "revoked"}
        assert sum(one.outcome == "revoked" for one in report.findings) == total - 1  # not the root, which has no key
        reply = await appliance.desk.answer(DecodeHandle(hex=handle.data.hex()))
        assert isinstance(reply, DecodedReply)
        assert (reply.decoded.verdict, reply.decoded.share) == ("revoked-key", "a")
        assert set((await appliance.check("a")).counts) == {"same"}
        assert (await view(appliance)).state.status == "ok"

    serve(tmp_path, source, body)


def test_a_share_that_hangs_hangs_only_the_checker(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.check("a")
        with nobody_serves(appliance):
            report = await appliance.check("a", "evict")
            assert report.state == "failed"
            assert "did not answer for 20 s" in report.reason
            assert [event.message for event in await events(appliance, "handle-check-failed")] == [report.reason]
        assert (await appliance.check("a")).state == "done"

    serve(tmp_path, source, body, check_patience=20)


def test_a_checker_that_takes_samples_for_long_is_not_given_up(source: Path, tmp_path: Path, watch: Janitor) -> None:
    """As it does of a share whose files get ever new names: it does not stop finding some."""
    many, patience = 700, 2
    (source / "many").mkdir()
    for number in range(many):
        (source / f"many/{number}").touch()

    async def body(appliance: Appliance) -> None:
        began = time.monotonic()
        report = await appliance.check("a")
        assert time.monotonic() - began > patience, "this shows nothing"
        assert (report.state, report.reason) == ("done", "")

    serve(tmp_path, source, body, check_patience=patience, check_samples=4 * many)


def test_a_canary_falls_silent_and_sings_again(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        async def status() -> str:
            return (await view(appliance)).state.status

        async def heard() -> bool:
            return (await view(appliance)).state.handles.canary_seconds is not None

        async def is_(wanted: str) -> bool:
            return await status() == wanted

        await appliance.check("a")
        await until(heard)
        with nobody_serves(appliance):
            await until(lambda: is_("unhealthy"))
            assert (await view(appliance)).state.handles.status == "silent"
            assert await events(appliance, "canary-silent")
        await until(lambda: is_("ok"))
        assert await events(appliance, "canary-answers")

    serve(tmp_path, source, body, canary_interval=0.2, canary_patience=5)


def test_a_remount_is_refused_while_clients_hold_state(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        device = os.stat(appliance.settings.exports_dir / "a").st_dev
        line = '- 0x01: {{ type: open, access: rw, deny: --, superblock: "{:02x}:{:02x}:7", filename: "a/f" }}\n'
        appliance.server.held = line.format(os.major(device), os.minor(device) + 1)
        assert (await appliance.check("a", "remount")).state == "done"
        device = os.stat(appliance.settings.exports_dir / "a").st_dev
        appliance.server.held = line.format(os.major(device), os.minor(device))
        with pytest.raises(RequestError) as caught:
            await appliance.check("a", "remount")
        assert caught.value.code == "clients-hold-state"
        assert appliance.server.released == []
        assert (await appliance.check("a", "remount", force=True)).state == "done"
        assert appliance.server.released == [appliance.settings.exports_dir / "a"]

    serve(tmp_path, source, body)


def test_a_mount_in_use_stays_as_it_is(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        path = appliance.settings.exports_dir / "a/d1"
        holder = subprocess.Popen(["sleep", "1000"], cwd=path)  # as a client's open does, unseen by nfsd's list
        try:
            report = await appliance.check("a", "remount")
            assert (report.state, "in use" in report.reason) == ("failed", True)
            assert os.path.ismount(appliance.settings.exports_dir / "a")
            assert "mountpoint=" not in appliance.server.texts[-1]
            assert (path / "f1").exists()
        finally:
            holder.kill()
            holder.wait()
        assert (await appliance.check("a", "remount")).state == "done"

    serve(tmp_path, source, body)


def test_a_check_can_be_cancelled_and_one_runs_at_a_time(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        with nobody_serves(appliance):
            task = asyncio.create_task(appliance.check("a", "evict"))
            await until(lambda: _is_there(appliance))
            with pytest.raises(RequestError) as caught:
                await appliance.desk.answer(StartCheck(name="a", wanted=CheckWanted()))
            assert caught.value.code == "check-running"
            number = appliance.results.checks("a")[0].id
            assert await appliance.desk.answer(CancelCheck(name="a", id=number)) == Done()
            assert (await task).state == "cancelled"
        assert (await appliance.check("a")).state == "done"

    serve(tmp_path, source, body)


async def _is_there(appliance: Appliance) -> bool:
    return bool(appliance.results.checks("a"))


def test_checks_are_made_by_the_clock(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        async def made() -> bool:
            done = [check for check in appliance.results.checks("a") if check.state == "done"]
            assert all(check.trigger == "schedule" for check in done)
            return {check.mode for check in done} == {"passive", "evict"} and len(done) >= 3

        await until(made)

    serve(tmp_path, source, body, check_interval=1, evict_interval=1)


def test_a_request_comes_before_the_clock(source: Path, tmp_path: Path, watch: Janitor) -> None:
    async def body(appliance: Appliance) -> None:
        with nobody_serves(appliance):
            await until(lambda: _is_there(appliance))
            begun = await appliance.desk.answer(StartCheck(name="a", wanted=CheckWanted()))
            assert isinstance(begun, CheckReply)
        while (await appliance.report("a", begun.check.id)).state == "running":
            await asyncio.sleep(0.02)
        states = {check.id: (check.trigger, check.state) for check in appliance.results.checks("a")}
        assert states[begun.check.id] == ("request", "done")
        assert states[begun.check.id - 1] == ("schedule", "cancelled")

    serve(tmp_path, source, body, check_interval=1000)


def test_a_name_that_is_given_to_another_source_has_not_drifted(source: Path, tmp_path: Path, watch: Janitor) -> None:
    other = source.parent / "checked-other"
    other.mkdir()

    async def body(appliance: Appliance) -> None:
        async def answered() -> bool:
            return (await view(appliance)).state.handles.canary_seconds is not None

        await appliance.check("a")
        before = appliance.store.share("a").identity.fsid
        await appliance.desk.answer(DeleteShare(name="a"))
        appliance.executor.health.pop("a", None)
        await appliance.share("a", other)
        assert appliance.store.share("a").identity.fsid != before
        await until(answered)
        assert await events(appliance, "handle-drift") == ()
        assert (await view(appliance)).state.status == "ok"

    serve(tmp_path, source, body, canary_interval=0.2)


@pytest.mark.kinds("ext4", "xfs", "xfs-inode32", "btrfs", "btrfs-subvolume", "tmpfs", "overlay")
def test_a_handle_is_decoded(source: Path, disk: Filesystem, tmp_path: Path, watch: Janitor) -> None:
    # btrfs tells the generation, which the MAC is over, only of files that there are.
    gone = "unknown" if disk.kind.startswith("btrfs") else "freed-inode"

    async def body(appliance: Appliance) -> None:
        async def decode(text: str) -> DecodedHandle:
            reply = await appliance.desk.answer(DecodeHandle(hex=text))
            assert isinstance(reply, DecodedReply)
            return reply.decoded

        mount = appliance.settings.exports_dir / "a"
        fsid = appliance.store.share("a").identity.fsid
        handle = _handle_of(mount, b"d2/f3")
        found = await decode("0x" + handle.data.hex(":"))
        assert (found.verdict, found.share, found.paths) == ("live", "a", ("d2/f3",))
        assert found.inode == (source / "d2/f3").stat().st_ino
        nfs = bytes((1, 0, 6, handle.type)) + fsid.bytes + handle.data
        found = await decode(nfs.hex())
        assert (found.form, found.verdict, found.fsid, found.paths) == ("nfs", "live", fsid, ("d2/f3",))
        root = await decode((bytes((1, 0, 6, 0)) + fsid.bytes).hex())
        assert (root.verdict, root.share, root.node_id, root.paths) == ("live", "a", "0x1", ("",))
        assert (await decode((bytes((1, 0, 6, handle.type)) + bytes(16) + handle.data).hex())).verdict == "foreign-fsid"
        native = _handle_of(source, b"d2/f3")
        head = struct.pack("=Ii", len(native.data), native.type)
        found = await decode((head + native.data).hex())
        assert (found.form, found.verdict, found.share, found.paths) == ("native", "live", "a", ("d2/f3",))
        wrong = fileid.encode(fileid.node_of(handle), fileid.generation_of(handle) ^ 1)
        assert (await decode((bytes((1, 0, 6, wrong.type)) + fsid.bytes + wrong.data).hex())).verdict == "bad-mac"
        (source / "d2/f3").unlink()
        for pid in workers(appliance):
            os.kill(pid, signal.SIGKILL)
        drop_caches()

        async def freed() -> bool:
            return (await decode(nfs.hex())).verdict == gone

        await until(freed)
        with pytest.raises(RequestError):
            await decode("xyz")
        assert (await decode("00112233")).verdict == "unknown"

    serve(tmp_path, source, body)


def _handle_of(directory: Path, name: bytes) -> handles.NativeHandle:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return handles.name_to_handle(descriptor, name, 0)
    finally:
        os.close(descriptor)
