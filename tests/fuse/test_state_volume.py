"""A state volume that is full or has become read-only: shares are served on, changes are refused as a whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from appliance.control.messages import CreateShare, DeleteShare, GetShare, Request, RotateKey, ShareReply, UpdateShare
from appliance.errors import StateError
from appliance.model import Share, ShareChanges
from appliance.state.records import Identity
from appliance.state.store import Store
from appliance.supervisor.threads import in_thread
from tests.support.appliance import Appliance, running
from tests.support.children import in_child
from tests.support.commands import run
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.processes import children, kill, name

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)  # the sources' kind does not matter
_BYTES = 24 << 20


class Volume:
    """A small filesystem that can be full, or read-only as after an error of its device."""

    def __init__(self, root: Path, beside: Path, device: str) -> None:
        self.root = root
        self.beside = beside
        self._device = device

    def fill(self) -> None:
        """Take all room, down to the last block."""
        filler = os.open(self.root / "filler", os.O_CREAT | os.O_WRONLY)
        for size in (1 << 20, 4096, 1):
            while _wrote(filler, size):
                pass
        os.close(filler)

    def break_down(self) -> None:
        """Have the kernel make it read-only, whoever has files open there."""
        node = Path("/sys/fs/ext4") / Path(self._device).name / "trigger_fs_error"
        node.write_text("provoked by a test")

    def room(self) -> None:
        (self.root / "filler").unlink()

    def mend(self) -> None:
        run("umount", self.root)
        run("e2fsck", "-p", self._device, check=False)  # status 1: there was something to mend
        run("mount", self._device, self.root)


def _wrote(descriptor: int, size: int) -> bool:
    try:
        os.write(descriptor, b"x" * size)
        os.fsync(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
def volume(work: Path, watch: Janitor) -> Iterator[Volume]:
    image, root, beside = (work / f"state.{part}" for part in ("img", "volume", "beside"))
    for directory in (root, beside, beside / "run", beside / "exports"):
        directory.mkdir()
    image.touch()
    os.truncate(image, _BYTES)
    run("mkfs.ext4", "-q", "-m", "0", "-e", "remount-ro", image)
    device = run("losetup", "--find", "--show", image).strip()
    run("mount", device, root)
    try:
        yield Volume(root, beside, device)
    finally:
        run("umount", root)
        run("losetup", "--detach", device)
        image.unlink()
        for directory in (root, beside / "run", beside / "exports", beside):
            directory.rmdir()


@pytest.fixture
def sources(disk: Filesystem) -> Iterator[list[Path]]:
    found = [disk.source / name for name in ("state-a", "state-b")]
    for source in found:
        source.mkdir()
        (source / "file").write_bytes(b"content")
    yield found
    for source in found:
        for left in source.iterdir():
            left.unlink()
        source.rmdir()


def act(volume: Volume, body: Callable[[Appliance], Awaitable[None]]) -> None:
    async def main() -> None:
        elsewhere = {"run_dir": volume.beside / "run", "exports_dir": volume.beside / "exports"}
        async with running(volume.root, **elsewhere) as appliance:
            await body(appliance)

    asyncio.run(main())


def changes(sources: list[Path]) -> list[Request]:
    """Return one request of each kind that changes the state."""
    return [
        CreateShare(share=Share(name="b", source=str(sources[1]))),
        UpdateShare(name="a", changes=ShareChanges(workers=1)),
        UpdateShare(name="a", changes=ShareChanges(source=str(sources[1]))),
        RotateKey(name="a"),
        DeleteShare(name="a"),
    ]


async def serves(appliance: Appliance, source: Path) -> None:
    """See that a share reads and writes, also after a worker's death."""
    top = appliance.settings.exports_dir / "a"

    def use() -> None:
        assert (top / "file").read_bytes() == b"content"
        (top / "written").write_bytes(b"written")
        assert (source / "written").read_bytes() == b"written"
        (top / "written").unlink()

    await in_thread(lambda: in_child(use))
    pool = appliance.executor.served["a"].pool_pid
    assert pool is not None
    kill(next(pid for pid in children(pool) if name(pid) == "holdfast-worker"))
    await in_thread(lambda: in_child(use))
    reply = await appliance.desk.answer(GetShare(name="a"))
    assert isinstance(reply, ShareReply)
    assert reply.share.state.status in ("ok", "degraded")


WAYS: dict[str, tuple[Callable[[Volume], None], str]] = {
    "full": (Volume.fill, "full|I/O error|No space"),
    "read-only": (Volume.break_down, "readonly|I/O error|Read-only"),
}


@pytest.mark.parametrize("way", WAYS)
def test_shares_are_served_on_and_changes_are_refused_as_a_whole(
    way: str, volume: Volume, sources: list[Path]
) -> None:
    spoil, said = WAYS[way]

    async def body(appliance: Appliance) -> None:
        await appliance.share("a", sources[0])
        before = appliance.store.shares()
        exported = appliance.server.there
        spoil(volume)
        for request in changes(sources):
            with pytest.raises(StateError, match=said) as caught:
                await appliance.desk.answer(request)
            assert caught.value.code == "state"
            assert "full, or read-only" in caught.value.hint
            assert appliance.store.shares() == before
            assert appliance.server.there == exported
        assert set(appliance.executor.served) == {"a"}
        appliance.events.add("canary-silent", "told all the same", "a")
        await appliance.reconciler.reconcile()
        await serves(appliance, sources[0])

    act(volume, body)


def test_with_room_again_changes_are_made(volume: Volume, sources: list[Path]) -> None:
    async def body(appliance: Appliance) -> None:
        await appliance.share("a", sources[0])
        volume.fill()
        with pytest.raises(StateError):
            await appliance.desk.answer(RotateKey(name="a"))
        key = appliance.store.share("a").identity.key
        volume.room()
        await appliance.desk.answer(RotateKey(name="a"))
        assert appliance.store.share("a").identity.key != key
        await serves(appliance, sources[0])

    act(volume, body)


def _opened(database: Path) -> Identity | StateError:
    """Return the identity of the share in a database, or why that cannot be opened."""
    try:
        store = Store(database)
    except StateError as error:
        return error
    try:
        return store.share("a").identity
    finally:
        store.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_start_either_serves_the_same_or_says_what_is_wrong(way: str, volume: Volume, sources: list[Path]) -> None:
    spoil, _ = WAYS[way]
    identities = []

    async def first(appliance: Appliance) -> None:
        await appliance.share("a", sources[0])
        identities.append(appliance.store.share("a").identity)

    act(volume, first)
    database = volume.root / "state" / "holdfast.db"
    spoil(volume)
    said = _opened(database)
    assert isinstance(said, Identity) or ("state database" in said.message and "not full" in said.hint), said
    if isinstance(said, Identity):
        identities.append(said)
    if way == "full":
        volume.room()
    else:
        volume.mend()

    async def second(appliance: Appliance) -> None:
        identities.append(appliance.store.share("a").identity)
        assert not appliance.store.restored
        await serves(appliance, sources[0])

    act(volume, second)
    assert len(set(map(repr, identities))) == 1
    assert len({(identity.fsid, identity.key) for identity in identities}) == 1
