"""A backup of the state is of one moment, is verified, and comes back; what is not sound changes nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from appliance import backup
from appliance.errors import StateError


def _database(path: Path, rows: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
    connection.executemany("INSERT INTO pairs VALUES (?, ?)", [(number, number) for number in range(rows)])
    connection.commit()
    connection.close()


def _rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM pairs").fetchone()[0])
    finally:
        connection.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    _database(directory / "holdfast.db", 10)
    _database(directory / "tables/share.db", 20)
    (directory / "holdfast.copy").write_text("rows")
    (directory / "api-token").write_text("secret\n")
    (directory / "api-token").chmod(0o640)
    (directory / "nfs/statd/sm").mkdir(parents=True)
    (directory / "nfs/etab").touch()
    return directory


def test_what_is_copied_comes_back(state: Path, tmp_path: Path) -> None:
    made = backup.make(state, tmp_path / "backup")
    assert {entry.path for entry in made} == {
        "api-token", "holdfast.copy", "holdfast.db", "nfs/etab", "tables/share.db"}
    assert [entry.path for entry in made][-1] == "tables/share.db"
    other = tmp_path / "other"
    other.mkdir()
    backup.restore(other, tmp_path / "backup")
    assert (_rows(other / "holdfast.db"), _rows(other / "tables/share.db")) == (10, 20)
    assert (other / "api-token").read_text() == "secret\n"
    assert (other / "api-token").stat().st_mode & 0o777 == 0o640
    assert (other / "tables").stat().st_mode & 0o777 == 0o700


def test_a_database_that_is_written_meanwhile_is_copied_as_of_one_moment(state: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        connection = sqlite3.connect(state / "holdfast.db", timeout=30)
        number = 100
        while not stop.is_set():
            with connection:  # two rows at a time: an odd number was never there
                connection.execute("INSERT INTO pairs VALUES (?, 1)", (number,))
                connection.execute("INSERT INTO pairs VALUES (?, 2)", (number,))
            number += 1
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for attempt in range(5):
            before = _rows(state / "holdfast.db")  # with what SQLite has only in its log as yet
            backup.make(state, tmp_path / f"backup-{attempt}")
            copied = _rows(tmp_path / f"backup-{attempt}/state/holdfast.db")
            assert copied >= before
            assert copied % 2 == 0
    finally:
        stop.set()
        writer.join()
    assert backup.verify(tmp_path / "backup-4")


def test_a_restore_keeps_what_was_there_and_the_younger_tables(state: Path, tmp_path: Path) -> None:
    backup.make(state, tmp_path / "backup")
    for name in ("holdfast.db", "tables/share.db"):
        connection = sqlite3.connect(state / name)
        with connection:
            connection.execute("INSERT INTO pairs VALUES (99, 99)")
        connection.close()
    (state / "later").touch()
    backup.restore(state, tmp_path / "backup")
    assert _rows(state / "holdfast.db") == 10
    assert _rows(state / "tables/share.db") == 21
    assert not (state / "later").exists()
    assert _rows(state / backup.REPLACED / "holdfast.db") == 11
    assert REPLACED_IS_LEFT_OUT not in {entry.path for entry in backup.make(state, tmp_path / "again")}


def test_who_may_reclaim_is_known_as_of_now_and_not_of_the_day_of_the_backup(state: Path, tmp_path: Path) -> None:
    _database(state / "nfs/nfsdcld/main.sqlite", 1)
    (state / "nfs/statd/sm/gone-since").touch()
    backup.make(state, tmp_path / "backup")
    (state / "nfs/statd/sm/gone-since").rename(state / "nfs/statd/sm/came-since")
    connection = sqlite3.connect(state / "nfs/nfsdcld/main.sqlite")
    with connection:
        connection.execute("INSERT INTO pairs VALUES (99, 99)")
    connection.close()
    backup.restore(state, tmp_path / "backup")
    assert _rows(state / "nfs/nfsdcld/main.sqlite") == 2
    assert os.listdir(state / "nfs/statd/sm") == ["came-since"]
    new_host = tmp_path / "new-host"
    new_host.mkdir()
    backup.restore(new_host, tmp_path / "backup")
    assert _rows(new_host / "nfs/nfsdcld/main.sqlite") == 1
    assert os.listdir(new_host / "nfs/statd/sm") == ["gone-since"]


def test_a_table_that_could_not_be_copied_to_its_end_is_not_taken_for_one(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.make(state, tmp_path / "backup")
    (state / "tables/share.db").unlink()

    copy = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        copy(source, target)
        if target.name == "share.db":
            os.truncate(target, 100)
            raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(StateError, match="once more"):
            backup.restore(state, tmp_path / "backup")
    backup.restore(state, tmp_path / "backup")
    assert _rows(state / "tables/share.db") == 20


@pytest.mark.parametrize("renames", range(6))
def test_a_restore_that_is_cut_off_and_made_again_loses_nothing(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    backup.make(state, tmp_path / "backup")
    connection = sqlite3.connect(state / "holdfast.db")
    with connection:
        connection.execute("INSERT INTO pairs VALUES (99, 99)")
    connection.close()
    (state / "later").touch()
    left = renames
    rename = Path.rename

    def cut_off(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "no space")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut_off)
        with pytest.raises(StateError, match="once more"):
            backup.restore(state, tmp_path / "backup")
    backup.restore(state, tmp_path / "backup")
    assert _rows(state / "holdfast.db") == 10
    assert not (state / "later").exists()
    assert _rows(state / backup.REPLACED / "holdfast.db") == 11
    assert (state / backup.REPLACED / "later").exists()


REPLACED_IS_LEFT_OUT = f"{backup.REPLACED}/holdfast.db"


@pytest.mark.parametrize("damage", ["changed", "missing", "not-a-backup", "newer", "outside"])
def test_a_backup_that_is_not_sound_changes_nothing(state: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "backup"
    backup.make(state, copy)
    manifest = json.loads((copy / backup.MANIFEST).read_text())
    match damage:
        case "changed":
            with (copy / "state/holdfast.db").open("r+b") as file:
                file.seek(5000)
                file.write(b"x")
        case "missing":
            (copy / "state/nfs/etab").unlink()
        case "not-a-backup":
            (copy / backup.MANIFEST).write_text("[]")
        case "newer":
            (copy / backup.MANIFEST).write_text(json.dumps(manifest | {"format": 2}))
        case "outside":
            manifest["files"][0]["path"] = "../outside"
            (copy / backup.MANIFEST).write_text(json.dumps(manifest))
    before = sorted(os.listdir(state))
    with pytest.raises(StateError):
        backup.restore(state, copy)
    assert sorted(os.listdir(state)) == before


def test_the_command_line(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(state))
    assert backup.main(["make", str(tmp_path / "backup")]) == 0
    assert capsys.readouterr().out == "5 files\n"
    assert backup.main(["verify", str(tmp_path / "backup")]) == 0
    assert capsys.readouterr().out == "5 files\n"
    assert backup.main(["restore", str(tmp_path / "none")]) == 73
    assert "no backup of Holdfast" in capsys.readouterr().err
