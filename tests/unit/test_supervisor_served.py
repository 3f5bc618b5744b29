"""A share being served, over a data path that only pretends: what becomes of deaths, failures and busy mounts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from appliance.backoff import Backoff
from appliance.errors import MountError, SourceError
from appliance.fuse.caching import Caching
from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.codecs.table import TableCodec
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import (
    DataPathStatus,
    PoolDegraded,
    PoolDisconnected,
    PoolRecovered,
    RequestRefused,
    StorageFine,
    StorageSlow,
    WorkerDied,
)
from appliance.linux.handles import NativeHandle
from appliance.state.database import Database
from appliance.state.events import Events
from appliance.state.records import Fsid, Identity
from appliance.state.store import Store
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.numbers import data_numbers
from appliance.supervisor.plan import Wanted
from appliance.supervisor.refused import recorder
from appliance.supervisor.served import ServedShare
from tests.support.played import FakePath

WANTED = Wanted("a", "/srv/a", Identity(Fsid(UUID(int=1)), CodecChoice(Kind.INO32), bytes(32)), workers=2, path="/a")

_NOBODY: tuple[Callable[[], None], Callable[[RequestRefused], None]] = (lambda: None, lambda _: None)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def serving(
    act: Callable[[ServedShare, FakePath], Awaitable[None]],
    lost: Callable[[], None] = lambda: None,
    refused: Callable[[RequestRefused], None] = lambda _: None,
    wanted: Wanted = WANTED,
    table: str = "",
    patience: float = 60,
) -> FakePath:
    """Serve a share for the time of `act` and return what was done to its mount."""
    path = FakePath(wanted.identity.codec)
    checked: DataPath = path

    async def body() -> None:
        share = ServedShare(wanted, PoolOptions(table=table), lost, refused)
        await share.open(checked, Path("/exports/a"), 5)
        try:
            await act(share, path)
        finally:
            await share.close(patience=patience)

    asyncio.run(body())
    assert all(pool.closed for pool in path.pools)
    return path


def test_a_share_comes_and_goes() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        assert share.serving
        state = await share.state()
        assert (state.status, state.worker_deaths, state.recoveries) == ("ok", 0, 0)
        assert [worker.pid for worker in state.workers] == [7]
        assert state.data_path is not None
        assert (state.data_path.passthrough, state.data_path.reason) == (False, "played")
        assert path.pools[0].options.workers == 2

    assert serving(act).log == ["mount", "unmount", "close"]


def test_open_files_are_told_where_they_are_counted() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        await share.refresh()
        numbers = data_numbers(share)
        assert (numbers.passthrough, numbers.open_files, numbers.backing_ids) == (False, None, None)
        path.pools[0].data_path = DataPathStatus(passthrough=False, open_files=2)
        await share.refresh()
        numbers = data_numbers(share)
        assert (numbers.passthrough, numbers.open_files, numbers.backing_ids) == (False, 2, None)
        path.pools[0].data_path = DataPathStatus(passthrough=True, open_files=4, backing_ids=3)
        await share.refresh()
        numbers = data_numbers(share)
        assert (numbers.passthrough, numbers.open_files, numbers.backing_ids) == (True, 4, 3)

    serving(act)


def test_a_worker_s_death_and_the_recovery_are_told() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        pool = path.pools[0]
        pool.tell(WorkerDied(7, "was killed by SIGKILL"))
        state = await share.state()
        assert (state.status, state.worker_deaths) == ("degraded", 1)
        assert "SIGKILL" in state.reason
        pool.tell(PoolRecovered(12.5, 1))
        state = await share.state()
        assert (state.status, state.reason, state.recoveries, state.last_recovery_ms) == ("ok", "", 1, 12.5)

    serving(act)


def test_workers_that_keep_dying_are_told() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        path.pools[0].tell(PoolDegraded("they end at once", 3))
        state = await share.state()
        assert (state.status, state.reason) == ("degraded", "they end at once")

    serving(act)


def test_slow_storage_is_told_with_the_operation_until_it_is_over() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        pool = path.pools[0]
        pool.tell(StorageSlow("write", 0x2A, 17.0, 2, 4))
        state = await share.state()
        assert state.status == "degraded"
        assert state.reason.startswith("storage slow: write of node 0x2a for 17 s; 2 of 4 workers wait")
        assert share.serving
        pool.tell(StorageFine())
        state = await share.state()
        assert (state.status, state.reason) == ("ok", "")

    serving(act)


def test_refused_requests_are_counted_and_recorded_with_operation_and_node(tmp_path: Path) -> None:
    Store(tmp_path / "db").close()
    events = Events(Database(tmp_path / "db"))

    async def act(share: ServedShare, path: FakePath) -> None:
        path.pools[0].tell(RequestRefused("mkdir", 0x2A, 3))
        assert (await share.state()).refused_requests == 1

    serving(act, refused=partial(recorder(events), "a"))
    (event,) = events.newest()
    assert (event.kind, event.share) == ("request-refused", "a")
    assert event.message == "mkdir of node 0x2a was answered with EIO: 3 workers died at it"
    assert event.data == {"operation": "mkdir", "node": "0x2a", "deaths": 3}


def test_a_pool_process_that_dies_is_started_again_on_the_same_mount() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        path.pools[0].die()
        await until(lambda: not share.serving)
        assert (await share.state()).status == "degraded"
        await until(lambda: share.serving)
        state = await share.state()
        assert (state.status, state.recoveries) == ("ok", 1)
        assert state.last_recovery_ms is not None
        assert path.pools[0].starts == 2

    assert serving(act).log == ["mount", "unmount", "close"]


def test_a_pool_process_that_keeps_dying_is_started_ever_later() -> None:
    async def act(_: ServedShare, path: FakePath) -> None:
        pool = path.pools[0]
        began = time.monotonic()
        for starts in (2, 3, 4):
            pool.die()
            await until(lambda starts=starts: pool.starts == starts)  # type: ignore[misc]
        assert time.monotonic() - began >= 0.1 + 0.2 + 0.4

    serving(act)


def test_a_share_closed_while_its_pool_is_down_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.supervisor.served.Backoff", lambda **_: Backoff(first=60.0, longest=60.0))

    async def act(share: ServedShare, path: FakePath) -> None:
        path.pools[0].die()
        await until(lambda: not share.serving)

    assert serving(act).pools[0].starts == 1


def test_another_number_of_workers_needs_no_unmount() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        await share.resize(Wanted("a", "/srv/a", WANTED.identity, workers=5, path="/a"))
        assert not share.serving
        await until(lambda: share.serving)
        assert (await share.state()).recoveries == 0
        assert len(path.pools) == 1
        assert path.pools[0].options.workers == 5
        assert share.wanted.workers == 5

    assert serving(act).log == ["mount", "unmount", "close"]


def test_who_changes_the_source_decides_for_how_long_the_kernel_believes() -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        (pool,) = path.pools
        assert (pool.options.entry_timeout, pool.options.negative_timeout, pool.options.watch) == (1.0, 1.0, True)
        state = await share.state()
        assert state.caching is not None
        assert (state.caching.watched, state.caching.reason) == (True, "played")
        await share.resize(replace(WANTED, caching=Caching.EXCLUSIVE))
        assert (pool.options.entry_timeout, pool.options.attr_timeout) == (3600.0, 3600.0)
        assert (pool.options.negative_timeout, pool.options.watch) == (3600.0, False)
        await until(lambda: share.serving)
        assert Wanted.from_json(path.descriptions["a"]).caching is Caching.EXCLUSIVE

    # What was told before is forgotten, so that it is believed for no longer than what is told from now on.
    assert serving(act).log == ["mount", "forget", "unmount", "close"]


def test_a_mount_in_use_is_tried_again() -> None:
    async def act(_: ServedShare, path: FakePath) -> None:
        path.busy = 2

    assert serving(act).log == ["mount", "unmount", "unmount", "unmount", "close"]


def test_a_mount_in_use_for_too_long_is_cut_off() -> None:
    async def act(_: ServedShare, path: FakePath) -> None:
        path.busy = 10**6

    log = serving(act, patience=1).log
    assert log[-2:] == ["detach", "close"]
    assert log.count("unmount") > 1


def test_a_mount_that_is_gone_is_reported() -> None:
    lost: list[bool] = []

    async def act(share: ServedShare, path: FakePath) -> None:
        path.pools[0].tell(PoolDisconnected())
        await until(lambda: lost)
        assert (await share.state()).status == "failed"

    serving(act, lost=lambda: lost.append(True))


def test_a_source_that_is_missing_leaves_nothing() -> None:
    path = FakePath()
    path.missing = {Path("/srv/a")}
    with pytest.raises(SourceError):
        asyncio.run(ServedShare(WANTED, PoolOptions(), *_NOBODY).open(path, Path("/exports/a"), 5))
    assert path.log == []


def test_workers_that_never_serve_leave_nothing() -> None:
    path = FakePath()
    path.ready = False
    with pytest.raises(MountError, match="do not serve within"):
        asyncio.run(ServedShare(WANTED, PoolOptions(), *_NOBODY).open(path, Path("/exports/a"), 0.1))
    assert path.log == ["mount", "unmount", "close"]
    assert path.pools[0].closed


def test_a_cancelled_start_leaves_nothing() -> None:
    path = FakePath()
    path.ready = False

    async def body() -> None:
        opening = asyncio.create_task(
            ServedShare(WANTED, PoolOptions(), *_NOBODY).open(path, Path("/exports/a"), 60)
        )
        await until(lambda: path.pools)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(body())
    assert path.log == ["mount", "unmount", "close"]


def test_the_size_and_growth_of_the_table_of_handles_are_told(tmp_path: Path) -> None:
    codec = TableCodec(tmp_path / "handles.db")
    for number in range(5):
        codec.encode(NativeHandle(1, b"%012d" % number))

    async def act(share: ServedShare, path: FakePath) -> None:
        state = await share.state()
        assert state.handle_table is not None
        assert (state.handle_table.entries, state.handle_table.added) == (5, 0)
        for number in range(3, 12):
            codec.encode(NativeHandle(1, b"%012d" % number))
        grown = (await share.state()).handle_table
        assert grown is not None
        assert (grown.entries, grown.added) == (12, 7)
        assert grown.bytes >= state.handle_table.bytes > 0

    wanted = replace(WANTED, identity=replace(WANTED.identity, codec=CodecChoice(Kind.TABLE)))
    serving(act, wanted=wanted, table=str(tmp_path / "handles.db"))
    codec.close()


def test_a_share_without_a_table_tells_of_none(tmp_path: Path) -> None:
    async def act(share: ServedShare, path: FakePath) -> None:
        assert (await share.state()).handle_table is None

    serving(act, table=str(tmp_path / "handles.db"))
