"""Files that are replaced as a whole, and what of that outlives a cut of the power."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.key import KEY_SIZE
from appliance.fuse.state import State
from appliance.linux import files
from appliance.model.server import ServerSettings
from appliance.nfs.server import NfsServer
from appliance.settings import Settings
from appliance.state.precious import Precious, PreciousCopy
from appliance.state.store import Store
from appliance.supervisor.server_requests import in_force
from appliance.supervisor.state_dir import make_token


def _keep_key(directory: Path) -> None:
    assert len(State(directory).key()) == KEY_SIZE


def _keep_codec(directory: Path) -> None:
    State(directory).keep_codec(CodecChoice(Kind.INO32))
    assert State(directory).codec() == CodecChoice(Kind.INO32)


def _make_token(directory: Path) -> None:
    make_token(directory / "api-token", os.getgid())
    assert len((directory / "api-token").read_text()) > 40


def _copy_precious(directory: Path) -> None:
    copy = PreciousCopy(directory / "holdfast.copy")
    copy.prepare(content := Precious(1, 1, {"a": [["b"]]}))
    copy.commit()
    assert copy.read() == content


def _note_settings(directory: Path) -> None:
    store = Store(directory / "db" / "holdfast.db")
    store.set_server(ServerSettings(lease=15))
    in_force(store, directory, again=False)
    assert in_force(store, directory, again=True).lease == 15
    store.close()


def _prepare_server(directory: Path) -> None:
    conf = directory / "nfs.conf"
    NfsServer(Settings(state_dir=directory / "state", run_dir=directory / "run", nfs_conf_file=conf)).prepare()
    assert conf.read_text()


REPLACERS = [_keep_key, _keep_codec, _make_token, _copy_precious, _note_settings, _prepare_server]


@pytest.mark.parametrize("replace", REPLACERS)
def test_a_file_is_synced_before_its_name_and_its_name_before_the_end(
    replace: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cut of the power leaves an empty file, nor the old one after it was said to be replaced."""
    (tmp_path / "db").mkdir()
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        done.append("directory" if os.readlink(f"/proc/self/fd/{descriptor}") == str(tmp_path) else "file")

    def renamed(old: Path, new: Path) -> None:
        rename(old, new)
        if new.parent == tmp_path:
            done.append("rename")

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.rename", renamed)
    replace(tmp_path)
    assert done[done.index("rename") - 1 :][:3] == ["file", "rename", "directory"]


@pytest.mark.parametrize("replace", REPLACERS)
def test_a_short_write_is_gone_on_with(
    replace: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "db").mkdir()
    write = os.write
    monkeypatch.setattr("os.write", lambda descriptor, data: write(descriptor, data[:5]))
    replace(tmp_path)


def test_mode_and_group_are_those_asked_for_whatever_is_left_of_an_earlier_try(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / ".file.new").write_text("half")
    (tmp_path / ".file.new").chmod(0o666)
    mask = os.umask(0o077)
    try:
        files.replace(path, b"whole", 0o640, os.getgid())
    finally:
        os.umask(mask)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"whole", 0o640)
    files.replace(path, b"secret")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"secret", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
