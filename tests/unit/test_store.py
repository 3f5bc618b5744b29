"""The state database, on a real file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from appliance.errors import RequestError, StateError
from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.key import KEY_SIZE
from appliance.fuse.source_id import Backing, SourceId
from appliance.model import Client, Share
from appliance.model.server import ServerSettings
from appliance.state import store as module
from appliance.state.database import Database
from appliance.state.records import Put, ShareRecord
from appliance.state.schema import MIGRATIONS
from appliance.state.state_file import StateFile
from appliance.state.store import Store
from appliance.state.tokens import Principal, Tokens, TokenWanted, digest

ID = SourceId(1, "0200000000000000", 1_600_000_000_000_000_000, "ab" * 16)
EXT4 = Backing(CodecChoice(Kind.INO32), ID)
SHARE = Share(name="a", source="/srv/a", clients=(Client(network="10.0.0.0/8"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "holdfast.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    opened.close()


def put(store: Store, share: Share, backing: Backing | None = None) -> ShareRecord:
    """Store one share, new or in the place of the one of its name, and return it."""
    store.change([Put(share, backing)])
    return store.share(share.name)


def test_a_share_is_there_after_a_restart(store: Store, path: Path) -> None:
    record = put(store, SHARE, EXT4)
    store.close()
    again = Store(path)
    assert again.share("a") == record
    assert again.shares() == [record]
    again.close()


def test_a_name_is_taken_once(store: Store) -> None:
    put(store, SHARE, EXT4)
    with pytest.raises(RequestError) as caught:
        store.check_free("a")
    assert (caught.value.code, caught.value.field) == ("share-exists", "name")
    store.check_free("b")


@pytest.mark.parametrize("ask", [Store.share, Store.rotate_key, lambda store, name: store.change([], [name])])
def test_what_is_not_there_is_not_found(store: Store, ask: Callable[[Store, str], object]) -> None:
    with pytest.raises(RequestError) as caught:
        ask(store, "a")
    assert caught.value.code == "share-not-found"


def test_the_same_share_made_again_has_its_old_identity(store: Store) -> None:
    first = put(store, SHARE, EXT4)
    store.change([], ["a"])
    assert put(store, SHARE, EXT4).identity == first.identity


@pytest.mark.parametrize(
    ("share", "codec"),
    [
        (SHARE.model_copy(update={"source": "/srv/b"}), EXT4),
        (SHARE.model_copy(update={"name": "b"}), EXT4),
        (SHARE, Backing(CodecChoice(Kind.XFS, inode_bits=40), ID)),
        (SHARE, Backing(CodecChoice(Kind.BTRFS, subvolume=5), ID)),
        (SHARE, EXT4._replace(id=replace(ID, uuid="cd" * 16))),
        (SHARE, EXT4._replace(id=replace(ID, birth=ID.birth + 1))),
        (SHARE, EXT4._replace(id=replace(ID, handle="0c00000000000000"))),
    ],
)
def test_another_share_never_gets_an_identity_of_old(store: Store, share: Share, codec: Backing) -> None:
    first = put(store, SHARE, EXT4).identity
    store.change([], ["a"])
    second = put(store, share, codec).identity
    assert second.fsid != first.fsid
    assert second.key != first.key


def test_the_codec_that_was_chosen_first_stays(store: Store) -> None:
    put(store, SHARE, Backing(CodecChoice(Kind.XFS, inode_bits=40), ID))
    store.change([], ["a"])
    assert put(store, SHARE, Backing(CodecChoice(Kind.XFS, inode_bits=44), ID)).identity.codec.inode_bits == 40


def test_a_change_keeps_the_identity_unless_the_source_is_another(store: Store) -> None:
    first = put(store, SHARE, EXT4)
    same = put(store, SHARE.model_copy(update={"enabled": False}))
    assert same.identity == first.identity
    assert same.created == first.created
    moved = put(store, SHARE.model_copy(update={"source": "/srv/b"}), EXT4)
    assert moved.identity.fsid != first.identity.fsid
    assert put(store, SHARE, EXT4).identity == first.identity


def test_a_failed_change_leaves_nothing_half_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(store, SHARE, EXT4)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "_identity", full)
    with pytest.raises(StateError, match="full"):
        put(store, SHARE.model_copy(update={"source": "/srv/b"}), EXT4)
    assert store.shares() == [first]


def test_another_key_is_all_that_changes_and_stays(store: Store, path: Path) -> None:
    first = put(store, SHARE, EXT4)
    other = put(store, SHARE.model_copy(update={"name": "b", "source": "/srv/b"}), EXT4)
    second = store.rotate_key("a")
    assert second.identity.key != first.identity.key
    assert len(second.identity.key) == KEY_SIZE
    assert replace(second.identity, key=first.identity.key) == first.identity
    assert store.shares() == [second, other]
    store.close()
    again = Store(path)
    assert again.shares() == [second, other]
    # A share that is removed and made again does not get the old key back.
    again.change([], ["a"])
    assert put(again, SHARE, EXT4).identity == second.identity
    again.close()


def test_the_key_is_in_no_representation(store: Store) -> None:
    record = put(store, SHARE, EXT4)
    assert repr(record.identity.key) not in repr(record)


def test_what_was_another_filesystem_gets_another_identity_and_its_own_when_it_is_back(store: Store) -> None:
    first = put(store, SHARE, EXT4)
    assert store.accept("a", EXT4).identity == first.identity
    second = store.accept("a", EXT4._replace(id=replace(ID, uuid="cd" * 16)))
    assert (second.identity.fsid, second.identity.key) != (first.identity.fsid, first.identity.key)
    assert second.identity.source_id == replace(ID, uuid="cd" * 16)
    assert store.shares() == [second]
    assert store.accept("a", EXT4).identity == first.identity


def test_a_share_of_before_sources_were_identified_learns_what_its_source_is(path: Path) -> None:
    old = StateFile(path, MIGRATIONS[:2], ["fsids", "revoked_keys", "shares"])
    with old.changing():
        fsid = str(UUID(int=1))
        identity = (fsid, "a", SHARE.source, EXT4.codec.to_json(), bytes(32), 1.0)
        old.connection.execute("INSERT INTO fsids VALUES (?, ?, ?, ?, ?, ?)", identity)
        share = ("a", fsid, SHARE.model_dump_json(), 1.0, 1.0)
        old.connection.execute("INSERT INTO shares VALUES (?, ?, ?, ?, ?)", share)
    old.close()
    store = Store(path)
    first = store.share("a").identity
    assert first.source_id is None
    store.learn("a", ID)
    store.learn("a", replace(ID, uuid="cd" * 16))  # too late
    store.close()
    path.unlink()  # and it is in the copy as well
    again = Store(path)
    assert (again.share("a").identity, again.share("a").identity.source_id) == (first, ID)
    again.close()


def test_settings_and_tokens_come_back_with_the_shares_and_a_revoked_token_does_not(path: Path) -> None:
    def tokens(store: Store) -> Tokens:
        return Tokens(Database(path), store.changing)

    store = Store(path)
    store.set_server(ServerSettings(lease=15, versions=("4.1",)))
    kept = tokens(store).make(TokenWanted(name="kept", role="read"))
    revoked = tokens(store).make(TokenWanted(name="revoked", role="admin"))
    tokens(store).revoke("revoked")
    store.close()
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    again = Store(path)
    assert again.restored == "is missing"
    assert again.server() == ServerSettings(lease=15, versions=("4.1",))
    assert tokens(again).find(digest(kept.token)) == Principal(name="token kept", role="read")
    assert tokens(again).find(digest(revoked.token)) is None
    again.close()


def test_a_copy_that_an_earlier_release_has_written_is_not_taken_for_another_state(path: Path) -> None:
    old = StateFile(path, MIGRATIONS[:6], ["fsids", "revoked_keys", "shares"])
    with old.changing():
        old.connection.execute("INSERT INTO server VALUES (?)", (ServerSettings(lease=15).model_dump_json(),))
    old.close()
    store = Store(path)
    assert (store.restored, store.server()) == ("", ServerSettings(lease=15))
    store.close()
    path.unlink()  # from the first start on it is in the copy
    again = Store(path)
    assert again.server() == ServerSettings(lease=15)
    again.close()


def test_an_old_database_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(path).close()
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (one TEXT) STRICT",)))
    newer = Store(path)
    assert newer.version == len(MIGRATIONS) + 1
    newer.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(path).close()
    broken = ("CREATE TABLE more (one TEXT) STRICT", "CREATE NONSENSE")
    with monkeypatch.context() as patch:
        patch.setattr(module, "MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(StateError):
            Store(path)
    again = Store(path)
    assert again.version == len(MIGRATIONS)
    again.close()


def test_a_newer_database_is_refused(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="schema 99"):
        Store(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StateError):
        Store(path)
