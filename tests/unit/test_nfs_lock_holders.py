"""Whom rpc.statd has known is told of the next start, whatever it forgot when the server ended."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.nfs import lock_holders

RECORD = "0100007f 000186b5 00000003 00000010 {cookie} 192.0.2.7 server\n"


@pytest.fixture
def statd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """rpc.statd's directory, its user's own, who is who runs this."""
    monkeypatch.setattr(lock_holders, "_user", lambda: None)
    lock_holders.prepare(tmp_path / "statd")
    return tmp_path / "statd"


def monitor(statd: Path, client: str, cookie: str = "00") -> str:
    """Do what rpc.statd does when a client locks its first file; return its record."""
    record = RECORD.format(cookie=cookie * 16)
    (statd / "sm" / client).write_text(record)
    return record


@pytest.fixture
def call(statd: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call the program, as rpc.statd does."""
    monkeypatch.setenv(lock_holders.DIRECTORY_VARIABLE, str(statd))

    def run(*arguments: str) -> None:
        monkeypatch.setattr("sys.argv", ["holdfast-statd-callout", *arguments])
        lock_holders.main()

    return run


def test_a_client_that_the_end_of_the_server_has_removed_is_put_back(statd: Path, call: Callable[..., None]) -> None:
    monitor(statd, "192.0.2.7", "01")
    call("add-client", "192.0.2.7", "server")
    record = monitor(statd, "192.0.2.7", "02")  # it has locked something anew, which makes another cookie
    call("add-client", "192.0.2.7", "server")
    (statd / "sm" / "192.0.2.7").unlink()
    call("del-client", "192.0.2.7", "server")
    call("put-back", str(statd))
    assert (statd / "sm" / "192.0.2.7").read_text() == record
    assert os.listdir(statd / "sm") == ["192.0.2.7"]


def test_the_latest_are_kept(statd: Path, call: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_holders, "_MOST", 2)
    for number in range(4):
        monitor(statd, f"192.0.2.{number}")
        call("add-client", f"192.0.2.{number}", "server")
        os.utime(statd / "kept" / f"192.0.2.{number}", (number, number))
        (statd / "sm" / f"192.0.2.{number}").unlink()
    call("put-back", str(statd))
    for directory in ("sm", "kept"):
        assert sorted(os.listdir(statd / directory)) == ["192.0.2.2", "192.0.2.3"]


def test_a_draft_is_no_client(statd: Path, call: Callable[..., None]) -> None:
    (statd / "kept" / ".192.0.2.7.new").write_text("half a rec")  # a cut of the power has left it
    call("put-back", str(statd))
    assert os.listdir(statd / "sm") == []


def test_it_is_put_back_without_root_s_rights(statd: Path) -> None:
    command = " ".join(lock_holders.put_back(statd))
    assert command.startswith(f"setpriv --reuid={statd.stat().st_uid} --regid={statd.stat().st_gid} --clear-groups ")
    assert "--bounding-set=-all" in command


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to somebody")
def test_the_directories_are_rpc_statd_s_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = pwd.struct_passwd(("statd", "x", 4321, 4322, "", "/", "/bin/false"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.getpwuid(0), somebody])
    statd = tmp_path / "nfs" / "statd"
    lock_holders.prepare(statd)
    for path in (statd, statd / "sm", statd / "sm.bak", statd / "kept"):
        assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (4321, 4322, 0o755)
    assert statd.parent.stat().st_uid == 0
    (statd / "kept").rmdir()
    (statd / "kept").symlink_to(tmp_path)
    with pytest.raises(OSError, match="kept"):
        lock_holders.prepare(statd)
    assert tmp_path.stat().st_uid == 0
