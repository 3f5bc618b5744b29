"""A source that is gone is never replaced by what is found at its path, and is served again when it is proved back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from appliance.control.checks import EventsReply, ListEvents
from appliance.control.messages import (
    AcceptSource,
    CreateShare,
    GetShare,
    ShareReply,
    ShareState,
    ShareView,
    UpdateShare,
)
from appliance.errors import SourceError
from appliance.fuse.source import Source
from appliance.fuse.source_id import SourceId, confirm
from appliance.linux.handles import name_to_handle, open_by_handle
from appliance.model import Client, Share, ShareChanges
from appliance.supervisor.threads import in_thread
from tests.support.appliance import Appliance, running
from tests.support.children import in_child
from tests.support.commands import run
from tests.support.filesystems import kernel_obstacle
from tests.support.janitor import Janitor
from tests.support.patience import SECONDS

pytestmark = pytest.mark.fuse

_SIZES = {"ext4": 64 << 20, "xfs": 300 << 20, "btrfs": 200 << 20}
_WITHHELD = "mountpoint=/proc/1"


class Disk:
    """A device with a filesystem, which is mounted at `place` and has the directory `source`."""

    def __init__(self, directory: Path, name: str, kind: str = "ext4") -> None:
        self.kind = kind
        self.place = directory / "place"
        self.source = self.place / "source"
        self._image = directory / name
        self._image.touch()
        os.truncate(self._image, _SIZES[kind])
        self.device = run("losetup", "--find", "--show", self._image).strip()

    def make(self, content: bytes) -> None:
        run(f"mkfs.{self.kind}", "-q", "-F" if self.kind == "ext4" else "-f", self.device)
        self.mount()
        self.source.mkdir()
        (self.source / "file").write_bytes(content)
        self.unmount()

    def mount(self) -> None:
        run("mount", self.device, self.place)

    def unmount(self, *options: str) -> None:
        run("umount", *options, self.place)

    def remove(self) -> None:
        run("losetup", "--detach", self.device)
        self._image.unlink()


@pytest.fixture
def directory(work: Path, watch: Janitor, tmp_path: Path) -> Iterator[Path]:
    """A directory with the mount point `place`, below which there is a `source` as well; and nothing is left of it."""
    found = work / tmp_path.name
    (found / "place" / "source").mkdir(parents=True)
    (found / "place" / "source" / "file").write_bytes(b"below")
    yield found
    while (found / "place").is_mount():
        run("umount", "-l", found / "place")
    for left in sorted(found.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() and not left.is_symlink() else left.unlink()
    found.rmdir()


@pytest.fixture
def right(directory: Path) -> Iterator[Disk]:
    made = Disk(directory, "one.img")
    made.make(b"content")
    yield made
    made.remove()


@pytest.fixture
def other(directory: Path, right: Disk) -> Iterator[Disk]:
    """A filesystem like the first: the same kind, the same inode number for the source."""
    made = Disk(directory, "other.img")
    made.make(b"another")
    yield made
    made.remove()


Body = Callable[[Appliance], Awaitable[None]]


def act(state: Path, body: Body) -> None:
    async def main() -> None:
        async with running(state) as appliance:
            await body(appliance)

    asyncio.run(main())


async def create(appliance: Appliance, source: Path, **more: object) -> ShareView:
    fields = {"name": "a", "source": str(source), "clients": (Client(host="192.0.2.1"),), **more}
    reply = await appliance.desk.answer(CreateShare(share=Share.model_validate(fields)))
    assert isinstance(reply, ShareReply)
    return reply.share


async def view(appliance: Appliance) -> ShareView:
    reply = await appliance.desk.answer(GetShare(name="a"))
    assert isinstance(reply, ShareReply)
    return reply.share


async def until(appliance: Appliance, condition: Callable[[ShareState], bool]) -> ShareState:
    """Wait for a state, long enough for any machine."""
    async with asyncio.timeout(SECONDS):
        while not condition(state := (await view(appliance)).state):
            await asyncio.sleep(0.05)
    return state


def exports(appliance: Appliance) -> str:
    """The share's line of the exports file, empty if it has none."""
    mountpoint = str(appliance.settings.exports_dir / "a")
    lines = appliance.server.there.text.splitlines()
    return next((line for line in lines if line.split()[0].endswith(mountpoint.rpartition("/")[2])), "")


async def seen(appliance: Appliance) -> bytes:
    """What a client that is let in reads."""
    return await in_thread(lambda: in_child((appliance.settings.exports_dir / "a" / "file").read_bytes))


Undo = Callable[[], object]


def _unmounted(right: Disk, other: Disk) -> Undo:
    right.unmount("-l")
    return right.mount


def _other_filesystem(right: Disk, other: Disk) -> Undo:
    other.mount()
    return other.unmount


def _exchanged(right: Disk, other: Disk) -> Undo:
    right.unmount("-l")
    other.mount()

    def back() -> None:
        other.unmount("-l")
        right.mount()

    return back


def _renamed(right: Disk, other: Disk) -> Undo:
    os.rename(right.source, right.place / "renamed")
    return lambda: os.rename(right.place / "renamed", right.source)


def _another_directory(right: Disk, other: Disk) -> Undo:
    os.rename(right.source, right.place / "renamed")
    right.source.mkdir()

    def back() -> None:
        right.source.rmdir()
        os.rename(right.place / "renamed", right.source)

    return back


WAYS = {
    "unmounted": (_unmounted, "source-changed"),  # the directory below is there
    "another filesystem on top": (_other_filesystem, "source-changed"),
    "another filesystem instead": (_exchanged, "source-changed"),
    "renamed": (_renamed, "source-missing"),
    "another directory": (_another_directory, "source-changed"),
}


@pytest.mark.parametrize("way", WAYS)
def test_clients_wait_and_then_go_on_with_what_they_had(way: str, directory: Path, right: Disk, other: Disk) -> None:
    leave, code = WAYS[way]

    async def body(appliance: Appliance) -> None:
        made = await create(appliance, right.source)
        assert made.state.status == "ok"
        assert await seen(appliance) == b"content"
        served = appliance.executor.served["a"]
        undo = leave(right, other)
        state = await until(appliance, lambda state: state.status == "unhealthy")
        await until(appliance, lambda _: _WITHHELD in exports(appliance))
        assert appliance.executor.missing["a"].error.code == code
        assert state.hint
        assert await seen(appliance) == b"content", "what is mounted is what it was"
        undo()
        await until(appliance, lambda state: state.status == "ok" and _WITHHELD not in exports(appliance))
        assert exports(appliance)
        assert await seen(appliance) == b"content"
        assert appliance.executor.served["a"] is served, "nobody lost what they had open"
        assert (appliance.server.released, appliance.server.restarts) == ([], 0)
        events = await appliance.desk.answer(ListEvents(limit=10))
        assert isinstance(events, EventsReply)
        assert [event.kind for event in events.events if event.share == "a"][:2] == ["source-back", "source-missing"]

    right.mount()
    act(directory / "appliance", body)
    right.unmount()


def test_unexported_it_is_let_go_of_and_comes_back(directory: Path, right: Disk) -> None:
    async def body(appliance: Appliance) -> None:
        made = await create(appliance, right.source, when_source_missing="unexport")
        before = await in_thread(lambda: in_child(partial(_handle, appliance.settings.exports_dir / "a")))
        right.unmount("-l")
        state = await until(appliance, lambda state: state.status == "unhealthy" and not exports(appliance))
        assert "expected was" in state.reason
        await until(appliance, lambda _: "a" not in appliance.executor.served)
        run("e2fsck", "-f", "-p", right.device)  # which refuses what is in use
        right.mount()
        await until(appliance, lambda state: state.status == "ok" and bool(exports(appliance)))
        assert (await view(appliance)).fsid == made.fsid
        after = await in_thread(lambda: in_child(partial(_handle, appliance.settings.exports_dir / "a")))
        assert after == before
        assert appliance.server.restarts == 0

    right.mount()
    act(directory / "appliance", body)
    right.unmount()


def _handle(mount: Path) -> tuple[str, bytes]:
    """Return a file's handle and what it opens."""
    root = os.open(mount, os.O_RDONLY)
    handle = name_to_handle(root, b"file", 0)
    file = open_by_handle(root, handle, os.O_RDONLY)
    return handle.data.hex(), os.read(file, 100)


@pytest.mark.parametrize("policy", ["wait", "unexport"])
def test_at_the_start_the_directory_below_is_not_served(policy: str, directory: Path, right: Disk) -> None:
    async def first(appliance: Appliance) -> None:
        await create(appliance, right.source, when_source_missing=policy)

    async def second(appliance: Appliance) -> None:
        state = await until(appliance, lambda state: state.status == "failed")
        assert "another directory is at" in state.reason
        assert "accept-source" in state.hint
        await until(appliance, lambda _: bool(exports(appliance)) is (policy == "wait"))
        assert not (appliance.settings.exports_dir / "a").is_mount()
        right.mount()
        await until(appliance, lambda state: state.status == "ok" and bool(exports(appliance)))
        assert await seen(appliance) == b"content"

    right.mount()
    act(directory / "appliance", first)
    right.unmount()
    act(directory / "appliance", second)
    right.unmount()


def test_another_filesystem_is_served_when_it_is_accepted_under_another_fsid(
    directory: Path, right: Disk, other: Disk
) -> None:
    async def accept(appliance: Appliance) -> ShareView:
        reply = await appliance.desk.answer(AcceptSource(name="a"))
        assert isinstance(reply, ShareReply)
        assert reply.share.state.status == "ok"
        return reply.share

    async def body(appliance: Appliance) -> None:
        made = await create(appliance, right.source)
        right.unmount("-l")
        other.mount()
        await until(appliance, lambda state: state.status == "unhealthy")
        accepted = await accept(appliance)
        assert accepted.fsid != made.fsid
        assert str(accepted.fsid) in exports(appliance)
        assert await seen(appliance) == b"another"
        assert appliance.server.released == [appliance.settings.exports_dir / "a"]
        other.unmount("-l")
        right.mount()
        await until(appliance, lambda state: state.status == "unhealthy")
        assert (await accept(appliance)).fsid == made.fsid
        assert await seen(appliance) == b"content"

    right.mount()
    act(directory / "appliance", body)
    right.unmount()


async def _changed(appliance: Appliance) -> None:
    await appliance.desk.answer(UpdateShare(name="a", changes=ShareChanges(sync=False)))


async def _forgotten(appliance: Appliance) -> None:
    """As by the death of the supervisor: its successor finds the share not served."""
    appliance.executor.forget("a")
    await appliance.reconciler.reconcile()
    await until(appliance, lambda state: state.status == "failed")


@pytest.mark.parametrize("between", [_changed, _forgotten])
def test_a_filesystem_that_shut_down_is_let_go_of_and_the_server_starts_anew_when_it_is_back(
    between: Body, directory: Path
) -> None:
    """XFS shuts itself down when its log cannot be written; nothing but another mount brings it back."""
    if reason := kernel_obstacle("xfs"):
        pytest.skip(reason)
    right = Disk(directory, "xfs.img", "xfs")

    async def body(appliance: Appliance) -> None:
        await create(appliance, right.source)
        await appliance.reconciler.reconcile()
        run("xfs_io", "-x", "-c", "shutdown", right.place)
        await until(appliance, lambda state: state.status == "unhealthy" and "a" not in appliance.executor.served)
        assert _WITHHELD in exports(appliance)
        await between(appliance)
        await appliance.reconciler.reconcile()
        assert appliance.server.restarts == 0
        right.unmount()
        right.mount()
        await until(appliance, lambda state: state.status == "ok" and _WITHHELD not in exports(appliance))
        assert await seen(appliance) == b"content"
        assert (appliance.server.restarts, appliance.server.running) == (1, appliance.settings.nfs_threads)

    try:
        right.make(b"content")
        right.mount()
        act(directory / "appliance", body)
        right.unmount()
    finally:
        right.remove()


@pytest.mark.parametrize("kind", _SIZES)
def test_what_proves_a_source_outlives_a_mount_and_is_no_one_elses(directory: Path, kind: str) -> None:
    if reason := kernel_obstacle(kind):
        pytest.skip(reason)

    def found(path: Path) -> SourceId:
        source = Source.open(path)
        try:
            return source.identify()
        finally:
            source.close()

    right = Disk(directory, "right.img", kind)
    try:
        right.make(b"content")
        right.mount()
        (right.place / "beside").mkdir()
        first, root, beside = found(right.source), found(right.place), found(right.place / "beside")
        assert first.uuid == root.uuid != ""
        assert first.birth
        right.unmount()
        right.mount()
        confirm(first, found(right.source), right.source)
        confirm(root, found(right.place), right.place)
        others = [root, beside]
        right.unmount()
        right.make(b"content")
        right.mount()
        others += [found(right.source), found(right.place)]
        right.unmount()
        for another in others:
            with pytest.raises(SourceError):
                confirm(first, another, right.source)
        with pytest.raises(SourceError):
            confirm(root, others[-1], right.place)
    finally:
        right.remove()
