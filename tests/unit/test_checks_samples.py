"""Which samples are kept, how they are stored, and what is made of evidence."""

from __future__ import annotations

import random
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.checks.classify import Share, classify
from appliance.checks.evidence import Answer, Evidence, Name, Opened, Refused
from appliance.checks.outcomes import Drift, Outcome
from appliance.checks.pace import Pace
from appliance.checks.samples import Sample, from_text, keep, to_text
from appliance.errors import RequestError
from appliance.fuse.source_id import Backing, SourceId
from appliance.linux.handles import NativeHandle
from appliance.linux.statx import Found
from appliance.model.handles import CheckWanted
from appliance.state.check_store import KEPT_CHECKS, CheckStore
from appliance.state.database import Database
from appliance.state.events import KEPT, EventFilter, Events
from appliance.state.records import Put
from appliance.state.store import Store
from appliance.supervisor.check_modes import count_states

NATIVE = NativeHandle(1, b"native--")
HANDLE = NativeHandle(0x81, bytes(12))
FOUND = Found(stat.S_IFREG, 12, 1, 5, 1_500_000_000_123_456_789, 77)
SAMPLE = Sample(HANDLE, NATIVE, 12, stat.S_IFREG, 77, 5, FOUND.mtime, b"d/\xff", "fsid", "key", 1.0)
SHARE = Share("fsid", "key")
OPEN = Opened(NATIVE, FOUND)
OTHER = Opened(NativeHandle(1, b"another-"), FOUND._replace(inode=13, birth=99))
STALE = Refused("ESTALE")
HERE = Name(OPEN)


def verdict(mount: Answer, native: Answer, name: Name | None, **more: object) -> Outcome | Drift:
    found = classify(SAMPLE, SHARE, replace(Evidence(mount, native, name), **more))  # type: ignore[arg-type]
    assert found.reason or found.outcome is Outcome.SAME
    return found.kind or found.outcome


def test_what_is_as_it_should_be() -> None:
    assert verdict(OPEN, OPEN, HERE) == "same"
    assert verdict(OPEN, OPEN, None) == "moved"
    assert verdict(OPEN, OPEN, Name(OTHER)) == "moved"
    assert verdict(STALE, STALE, None) == "deleted"
    assert verdict(STALE, Opened(NATIVE, FOUND._replace(links=0)), None) == "deleted"
    assert verdict(Opened(NATIVE, FOUND._replace(links=0)), OPEN, None) == "deleted"
    assert verdict(STALE, OPEN, None, outside=True) == "deleted"


def test_what_nobody_can_tell() -> None:
    assert verdict(Refused("EIO"), OPEN, HERE) == "unanswered"
    assert verdict(STALE, Refused("EIO"), HERE) == "unanswered"


def test_each_drift_by_its_name() -> None:
    assert verdict(OTHER, OPEN, HERE) == "another-file"
    assert verdict(OTHER, STALE, None) == "node-reused"
    reborn = Opened(NATIVE, FOUND._replace(birth=78))
    assert verdict(reborn, reborn, None) == "replaced"
    assert verdict(STALE, reborn, None) == "replaced"
    assert verdict(OPEN, STALE, None) == "opens-deleted"
    assert verdict(STALE, OPEN, HERE) == "stale"
    assert verdict(STALE, OPEN, Name(OPEN, NativeHandle(0x81, b"\1" * 12))) == "node-changed"
    other_generation = NativeHandle(0x81, bytes(11) + b"\1")
    assert verdict(STALE, OPEN, Name(OPEN, other_generation), expected=HANDLE) == "wrong-key"
    assert verdict(OPEN, OPEN, Name(OPEN, other_generation)) == "node-changed"
    assert verdict(OPEN, OPEN, HERE, fsid="other") == "fsid-changed"
    assert verdict(OPEN, OPEN, HERE, attributes_agree=False) == "another-file"


def test_a_restored_file_is_told_from_a_new_one() -> None:
    restored = Opened(OTHER.native, FOUND._replace(inode=13, birth=99))
    assert verdict(STALE, STALE, Name(restored)) == "restored"
    whole_seconds = FOUND.mtime // 10**9 * 10**9
    assert verdict(STALE, STALE, Name(Opened(OTHER.native, FOUND._replace(mtime=whole_seconds)))) == "restored"
    for changed in (FOUND._replace(mtime=FOUND.mtime + 1), FOUND._replace(size=6), FOUND._replace(type=stat.S_IFDIR)):
        assert verdict(STALE, STALE, Name(Opened(OTHER.native, changed))) == "deleted"


def test_keys() -> None:
    rotated = Share("fsid", "new", {"key"})
    assert classify(SAMPLE, rotated, Evidence(STALE, OPEN, HERE)).outcome == "revoked"
    assert classify(SAMPLE, rotated, Evidence(OPEN, OPEN, HERE)).kind == "opens-revoked"
    assert classify(SAMPLE, Share("fsid", "new"), Evidence(STALE, OPEN, HERE)).kind == "key-changed"
    assert classify(SAMPLE, Share("new", "key"), Evidence(OPEN, OPEN, HERE)).kind == "fsid-changed"


def test_the_root() -> None:
    root = replace(SAMPLE, path=b"")
    assert classify(root, SHARE, Evidence(OPEN, OPEN, HERE)).outcome == "same"
    assert classify(root, SHARE, Evidence(OTHER, STALE, None)).kind == "source-replaced"


def test_old_and_new_are_kept() -> None:
    samples = [replace(SAMPLE, path=b"%d" % number, taken=float(number)) for number in range(300)]
    samples += [replace(SAMPLE, path=b"", taken=1e6)]
    samples += [replace(SAMPLE, path=b"x%d" % number, deleted=float(number)) for number in range(50)]
    kept = keep(samples, 100, random.Random(1))
    assert len(kept) == 100
    assert sorted(each.deleted for each in kept if each.deleted is not None) == [float(each) for each in range(40, 50)]
    living = {each.path for each in kept if each.deleted is None}
    assert {b"", *(b"%d" % number for number in range(44))} <= living
    assert any(int(path) > 150 for path in living if path)
    assert keep(samples[:5], 100, random.Random(1)) == samples[:5]


def test_a_sample_is_stored_as_it_is() -> None:
    assert from_text(to_text(SAMPLE)) == SAMPLE


@pytest.fixture
def database(tmp_path: Path) -> Database:
    Store(tmp_path / "db").close()
    return Database(tmp_path / "db")


def test_checks_are_kept_the_last_hundred(database: Database) -> None:
    store = CheckStore(database)
    for _ in range(KEPT_CHECKS + 5):
        store.begin("a", CheckWanted(), "request")
    other = store.begin("b", CheckWanted(mode="evict"), "schedule")
    assert [check.id for check in store.checks("a")] == list(range(KEPT_CHECKS + 5, 5, -1))
    assert store.checks("b") == [other]
    with pytest.raises(RequestError):
        store.report("b", 7)
    store.abandon_running()
    assert {check.state for check in store.checks("a")} == {"failed"}


def test_samples_outlive_the_connection(database: Database, tmp_path: Path) -> None:
    CheckStore(database).replace_samples("a", [SAMPLE])
    CheckStore(database).replace_samples("b", [])
    database.close()
    assert CheckStore(Database(tmp_path / "db")).samples("a") == [SAMPLE]


def test_events_are_bounded_and_filtered(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.state.events.KEPT", 10)
    assert KEPT > 1000
    events = Events(database)
    for number in range(25):
        events.add("odd" if number % 2 else "even", f"number {number}", "a" if number < 20 else None, {"n": number})
    assert [event.data["n"] for event in events.newest()] == list(range(24, 14, -1))
    assert [event.data["n"] for event in events.newest(EventFilter(share="a", kind="odd"))] == [19, 17, 15]
    assert [event.data["n"] for event in events.newest(limit=2)] == [24, 23]
    assert events.newest(EventFilter(since=events.newest(limit=1)[0].time + 1)) == []


def test_revoked_keys_are_remembered(tmp_path: Path) -> None:
    from appliance.fuse.codecs.choice import CodecChoice, Kind
    from appliance.model import Share as ModelShare

    store = Store(tmp_path / "db")
    backing = Backing(CodecChoice(Kind.INO32), SourceId(1, "02", 0, ""))
    (record,) = store.change([Put(ModelShare(name="a", source="/srv/a"), backing)])
    assert store.revoked_keys(record.identity.fsid) == ()
    store._db.execute("UPDATE fsids SET key = ?", (bytes(32),))
    assert store.revoked_keys(record.identity.fsid) == (record.identity.key,)


def test_states_of_clients_are_counted_by_filesystem() -> None:
    # As nfsd of Linux 6.12 writes them.
    text = (
        '- 0x010: { type: open, access: rw, deny: --, superblock: "00:2f:21", filename: "share/f" }\n'
        '- 0x011: { type: lock, superblock: "00:2f:-5812675194988396608", filename: "share/f", owner: "lock id:x" }\n'
        '- 0x012: { type: deleg, access: r, superblock: "00:30:21", filename: "other/f" }\n'
    )
    assert (count_states(text, (0, 0x2F)), count_states(text, (0, 0x30)), count_states(text, None)) == (2, 1, 0)


def test_the_pace_is_steady_and_backs_off_under_load() -> None:
    for worked, waited in ((0.0, 0.03), (0.01, 0.02), (0.03, 0.0), (0.1, 0.2), (30.0, 2.0)):
        now, slept = [0.0], list[float]()
        pace = Pace(0.03, lambda now=now: now[0], slept.append)  # type: ignore[misc]
        for number in range(20):
            now[0] = worked * number / 19
            pace()
        assert slept == [pytest.approx(waited)]
