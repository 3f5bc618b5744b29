"""Five hundred shares in the store, fifty of them served: what that takes of every process, and that it all answers."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.control.messages import GetReadiness, ListShares, ReadinessReply, SharesReply, encode
from appliance.fuse.source import Source
from appliance.fuse.source_id import Backing
from appliance.model import Client, Share
from appliance.state.records import Put
from appliance.state.store import Store
from appliance.supervisor.threads import in_thread
from tests.support.appliance import Appliance, running
from tests.support.children import in_child
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.processes import children, descendants, descriptor_count, name, own_kilobytes

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(400)]

FILESYSTEMS = ("ext4",)  # what is counted does not depend on it

_SHARES = 500
_LIVE = 50
# What docs/architecture.md states, for each process by its name: descriptors, and KiB of its own memory.
_BOUNDS = dict.fromkeys(
    ("holdfast-pool", "holdfast-worker", "holdfast-closer", "holdfast-watch"), (3_200, 30_000)
)
_SUPERVISOR_DESCRIPTORS = 20 * _LIVE  # of this process, beside those of the test


@pytest.fixture
def sources(disk: Filesystem) -> Iterator[Path]:
    top = disk.source / "many-shares"
    top.mkdir()
    for number in range(_SHARES):
        (top / f"{number:03}").mkdir()
        (top / f"{number:03}" / "file").write_text(str(number))
    yield top
    shutil.rmtree(top)


def _fill(database: Path, sources: Path) -> None:
    """Put the shares into the store."""
    database.parent.mkdir(parents=True)
    puts = []
    for number in range(_SHARES):
        path = sources / f"{number:03}"
        source = Source.open(path)
        backing = Backing(source.codec, source.identify())
        source.close()
        clients = tuple(Client(host=f"10.0.{number % 256}.{host}") for host in range(1, 5))
        share = Share(name=f"s{number:03}", source=str(path), clients=clients, workers=1, enabled=number < _LIVE)
        puts.append(Put(share, backing))
    store = Store(database)
    store.change(puts)
    store.close()


def test_five_hundred_shares_with_fifty_live(
    sources: Path, work: Path, watch: Janitor, record_property: Callable[[str, object], None]
) -> None:
    async def body() -> None:
        place = work / "many-shares"
        _fill(place / "state" / "holdfast.db", sources)
        before = descriptor_count(os.getpid())
        async with running(place, workers=1) as appliance:
            reply = await _all_served(appliance)
            assert len(appliance.executor.served) == _LIVE
            assert appliance.executor.faults == {}
            readiness = await appliance.desk.answer(GetReadiness())
            assert isinstance(readiness, ReadinessReply)
            assert readiness.readiness.shares_enabled == _LIVE
            for number in (0, _LIVE // 2, _LIVE - 1):
                path = appliance.settings.exports_dir / f"s{number:03}" / "file"
                assert await in_thread(lambda path=path: in_child(path.read_text)) == str(number)  # type: ignore[misc]
            sizes = _sizes()
            assert len(sizes) >= 2 * _LIVE
            for of, descriptors, kilobytes in sizes:
                most_descriptors, most_kilobytes = _BOUNDS[of]
                assert descriptors <= most_descriptors, of
                assert kilobytes <= most_kilobytes, of
            own = descriptor_count(os.getpid()) - before
            assert own <= _SUPERVISOR_DESCRIPTORS
            largest = {of: max(size[1:] for size in sizes if size[0] == of) for of in {size[0] for size in sizes}}
            record_property(
                "processes", f"{len(sizes)}, the largest (descriptors, KiB): {largest}; supervisor {own} "
                f"descriptors; list of shares {len(encode(reply))} bytes"
            )  # fmt: skip

    asyncio.run(body())
    shutil.rmtree(work / "many-shares")


async def _all_served(appliance: Appliance) -> SharesReply:
    """Return the list of all shares, once all are as they should be."""
    async with asyncio.timeout(200):
        while True:
            reply = await appliance.desk.answer(ListShares())
            assert isinstance(reply, SharesReply)
            states = [view.state.status for view in reply.shares]
            if (states.count("ok"), states.count("disabled")) == (_LIVE, _SHARES - _LIVE):
                return reply
            await asyncio.sleep(0.1)


def _sizes() -> list[tuple[str, int, int]]:
    """Return name, descriptors and own KiB of each process of the data path."""
    family = [pid for child in children(os.getpid()) for pid in (child, *descendants(child))]
    return [(name(pid), descriptor_count(pid), own_kilobytes(pid)) for pid in family if name(pid) in _BOUNDS]
