"""The state database under damage: what must never be made anew never is, wherever its files are cut."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.errors import StateError
from appliance.state.state_file import StateFile

MIGRATIONS = (("CREATE TABLE precious (name TEXT PRIMARY KEY, key BLOB) STRICT", "CREATE TABLE other (x ANY) STRICT"),)
LATER = (*MIGRATIONS, ("ALTER TABLE precious ADD COLUMN more TEXT",))
WRITTEN = [("a", bytes(range(32))), ("b", b"\xff" * 32)]


def opened(path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> StateFile:
    return StateFile(path, migrations, ["precious"])


def rows(database: StateFile) -> list[tuple[object, ...]]:
    return list(database.connection.execute("SELECT * FROM precious"))


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A database that was not closed: part of it is in its log."""
    path = tmp_path / "state.db"
    database = opened(path)
    for row in WRITTEN:
        with database.changing():
            database.connection.execute("INSERT INTO precious VALUES (?, ?)", row)
    with database.lock:
        database.connection.executemany("INSERT INTO other VALUES (?)", [(bytes(500),)] * 20)
    copy = tmp_path / "crashed"
    copy.mkdir()
    for name in ("state.db", "state.db-wal", "state.copy"):
        shutil.copy(tmp_path / name, copy / name)
    database.close()
    return copy / "state.db"


# Every byte was tried with a step of one, which takes minutes; this one is prime to all that sqlite aligns.
_STEP = 211


@pytest.mark.parametrize(("file", "folded"), [("state.db", False), ("state.db-wal", False), ("state.db", True)])
def test_wherever_the_database_is_cut_it_holds_what_was_written(crashed: Path, file: str, *, folded: bool) -> None:
    if folded:
        opened(crashed).close()
    whole = {name.name: name.read_bytes() for name in crashed.parent.iterdir()}
    size = len(whole[file])
    assert size >= 4096
    for length in (*range(0, size, _STEP), size - 1):
        shutil.rmtree(crashed.parent)
        crashed.parent.mkdir()
        for name, content in whole.items():
            (crashed.parent / name).write_bytes(content[:length] if name == file else content)
        database = opened(crashed)
        assert rows(database) == WRITTEN, f"cut to {length} bytes"
        database.close()


def test_the_copy_is_made_again_wherever_it_is_cut(crashed: Path) -> None:
    copy = crashed.with_name("state.copy")
    content = copy.read_bytes()
    for length in range(0, len(content), 37):
        copy.write_bytes(content[:length])
        database = opened(crashed)
        assert rows(database) == WRITTEN
        database.close()
        assert copy.stat().st_size >= len(content)


def test_a_flipped_bit_is_noticed(crashed: Path) -> None:
    opened(crashed).close()
    content = crashed.read_bytes()
    key = WRITTEN[0][1]
    assert content.count(key) == 1
    crashed.write_bytes(content.replace(key, key[:-1] + b"\0"))
    database = opened(crashed)
    assert rows(database) == WRITTEN
    database.close()
    assert crashed.with_name("state.db.damaged").exists()


@pytest.mark.parametrize("copy", [None, b"", b"not a copy\n{}"])
def test_without_a_sound_copy_a_damaged_database_is_refused_and_left_alone(crashed: Path, copy: bytes | None) -> None:
    crashed.with_name("state.db-wal").unlink()
    crashed.write_bytes(b"not a database at all" * 100)
    crashed.with_name("state.copy").unlink()
    if copy is not None:
        crashed.with_name("state.copy").write_bytes(copy)
    with pytest.raises(StateError) as caught:
        opened(crashed)
    assert caught.value.code == "state-damaged"
    assert "backup" in caught.value.hint
    assert crashed.read_bytes().startswith(b"not a database")


def test_a_missing_database_comes_back_from_its_copy(crashed: Path) -> None:
    for left in crashed.parent.glob("state.db*"):
        left.unlink()
    database = opened(crashed)
    assert rows(database) == WRITTEN
    assert database.restored == "is missing"
    assert crashed.stat().st_mode & 0o777 == 0o600
    database.close()


def test_a_copy_from_before_an_upgrade_is_brought_up_to_date(crashed: Path) -> None:
    crashed.unlink()
    crashed.with_name("state.db-wal").unlink()
    database = opened(crashed, LATER)
    assert rows(database) == [(*row, None) for row in WRITTEN]
    database.close()
    crashed.unlink()
    database = opened(crashed, LATER)
    assert rows(database) == [(*row, None) for row in WRITTEN]
    database.close()


def test_a_copy_of_a_newer_release_is_refused_and_left_alone(crashed: Path) -> None:
    opened(crashed, LATER).close()
    copy = crashed.with_name("state.copy").read_bytes()
    crashed.unlink()
    with pytest.raises(StateError, match="newer release"):
        opened(crashed)
    assert crashed.with_name("state.copy").read_bytes() == copy
    database = opened(crashed, LATER)
    assert rows(database) == [(*row, None) for row in WRITTEN]
    database.close()


def test_a_change_whose_copy_cannot_be_written_is_not_made(crashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = opened(crashed)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StateError, match="No space"), database.changing():
        database.connection.execute("DELETE FROM precious")
    assert rows(database) == WRITTEN
    database.close()


def behind(path: Path) -> None:
    """Take a row out of the database and not out of its copy, as a death between the two does."""
    kept = path.with_name("state.copy").read_bytes()
    database = opened(path)
    with database.changing():
        database.connection.execute("DELETE FROM precious WHERE name = 'a'")
    database.close()
    path.with_name("state.copy").write_bytes(kept)


def test_a_copy_that_is_behind_is_brought_up_to_date_by_the_next_start(crashed: Path) -> None:
    behind(crashed)
    opened(crashed).close()
    crashed.write_bytes(b"not a database at all" * 100)
    database = opened(crashed)
    assert database.restored
    assert rows(database) == WRITTEN[1:]
    database.close()


def test_a_copy_that_is_up_to_date_is_left_alone(crashed: Path) -> None:
    opened(crashed).close()
    copy = crashed.with_name("state.copy").read_bytes()
    opened(crashed).close()
    assert crashed.with_name("state.copy").read_bytes() == copy


def test_a_copy_that_stays_behind_is_told_and_keeps_nobody_from_starting(
    crashed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    behind(crashed)
    monkeypatch.setattr("os.fsync", full)
    database = opened(crashed)
    assert rows(database) == WRITTEN[1:]
    assert "stays behind" in caplog.text
    database.close()


def test_a_copy_that_cannot_be_put_in_force_is_told(
    crashed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = opened(crashed)
    with monkeypatch.context() as patch:
        patch.setattr("os.rename", full)
        with database.changing():
            database.connection.execute("DELETE FROM precious WHERE name = 'a'")
    assert "behind" in caplog.text
    assert rows(database) == WRITTEN[1:]
    with database.changing():
        pass  # the next change brings the copy up to date
    database.close()
    crashed.unlink()
    database = opened(crashed)
    assert rows(database) == WRITTEN[1:]
    database.close()


def test_a_database_that_may_not_be_opened_is_not_taken_for_damaged(tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        opened(tmp_path / "no such directory/state.db")
    assert caught.value.code == "state"
