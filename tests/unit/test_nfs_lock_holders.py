"""Whom rpc.statd has known is told of the next start, whatever it forgot when the server ended."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import StateError
from appliance.nfs import lock_holders
from deploy.paths import CHECKOUT

PROGRAM = CHECKOUT / "appliance/nfs/holdfast-statd-callout"
RECORD = "0100007f 000186b5 00000003 00000010 {cookie} 192.0.2.7 server\n"
Call = Callable[..., None]


@pytest.fixture
def statd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """rpc.statd's directory; its user is who runs this."""
    monkeypatch.setattr(pwd, "getpwall", list)
    lock_holders.prepare(tmp_path / "statd")
    return tmp_path / "statd"


@pytest.fixture
def call(statd: Path) -> Call:
    """Call the program, as rpc.statd does."""

    def run(*arguments: str, uid: int = os.geteuid()) -> None:
        variables = dict(lock_holders.environment(statd))
        subprocess.run((PROGRAM, *arguments), check=True, env={**os.environ, **variables}, user=uid)

    return run


def monitor(statd: Path, client: str, cookie: str = "00") -> str:
    """Do what rpc.statd does when a client locks its first file; return its record."""
    record = RECORD.format(cookie=cookie * 16)
    (statd / "sm" / client).write_text(record)
    (statd / "sm" / client).chmod(0o600)
    return record


def test_a_client_that_the_end_of_the_server_has_removed_is_put_back(statd: Path, call: Call) -> None:
    call("put-back")  # nobody is known yet
    monitor(statd, "192.0.2.7", "01")
    call("add-client", "192.0.2.7", "server")
    record = monitor(statd, "192.0.2.7", "02")  # it has locked something anew, which makes another cookie
    call("add-client", "192.0.2.7", "server")
    (statd / "sm" / "192.0.2.7").unlink()
    call("del-client", "192.0.2.7", "server")
    call("put-back")
    assert (statd / "sm" / "192.0.2.7").read_text() == record
    assert os.listdir(statd / "sm") == ["192.0.2.7"]


def test_who_is_back_already_stays_as_he_is(statd: Path, call: Call) -> None:
    monitor(statd, "192.0.2.7", "01")
    call("add-client", "192.0.2.7", "server")
    record = monitor(statd, "192.0.2.7", "02")
    call("put-back")
    assert (statd / "sm" / "192.0.2.7").read_text() == record


def test_the_latest_are_kept(statd: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_holders, "_MOST", 2)
    for number in range(4):
        monitor(statd, f"192.0.2.{number}")
        call("add-client", f"192.0.2.{number}", "server")
        os.utime(statd / "kept" / f"192.0.2.{number}", (number, number))
        (statd / "sm" / f"192.0.2.{number}").unlink()
    call("put-back")
    for directory in ("sm", "kept"):
        assert sorted(os.listdir(statd / directory)) == ["192.0.2.2", "192.0.2.3"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to somebody")
def test_rpc_statd_s_user_may_have_another_number_at_the_next_start(
    statd: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in statd.parents:
        if directory.stat().st_uid == 0 and directory.stat().st_mode & 0o001 == 0:
            directory.chmod(directory.stat().st_mode | 0o011)  # pytest's own, which it has closed
    for uid in (4321, 5432):
        somebody = pwd.struct_passwd(("statd", "x", uid, 4322, "", "/", "/bin/false"))
        monkeypatch.setattr(pwd, "getpwall", lambda somebody=somebody: [pwd.getpwuid(0), somebody])
        lock_holders.prepare(statd)
        assert f"--reuid={uid}" in lock_holders.put_back(statd)
        call("put-back", uid=uid)
        if uid == 4321:
            record = monitor(statd, "192.0.2.7", "01")
            os.chown(statd / "sm" / "192.0.2.7", uid, 4322)
            call("add-client", "192.0.2.7", "server", uid=uid)
            (statd / "sm" / "192.0.2.7").unlink()
    assert (statd / "sm" / "192.0.2.7").read_text() == record
    assert (statd / "kept").stat().st_mode & 0o777 == 0o700
    assert statd.stat().st_uid == 0  # rpc.statd and sm-notify write there while they are root


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to somebody")
def test_what_rpc_statd_s_user_has_put_there_is_not_given_to_him(
    statd: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.struct_passwd(("statd", "x", 4321, 4322, "", "/", "/bin/false"))])
    (tmp_path / "precious").mkdir()
    (statd / "sm").rmdir()
    (statd / "sm").symlink_to(tmp_path / "precious")
    with pytest.raises(StateError, match="sm"):
        lock_holders.prepare(statd)
    assert (tmp_path / "precious").stat().st_uid == 0


def test_half_a_copy_is_no_record(statd: Path, call: Call) -> None:
    record = monitor(statd, "192.0.2.7")
    (statd / "kept" / "192.0.2.7").touch()  # as a full volume leaves it
    (statd / "kept" / "192.0.2.8").touch()
    call("put-back")
    assert (statd / "sm" / "192.0.2.7").read_text() == record
    call("add-client", "192.0.2.7", "server")
    assert (statd / "kept" / "192.0.2.7").read_text() == record


@pytest.mark.parametrize("name", ["-rf", "a b", "a\nb", "*", "directory"])
def test_a_name_is_only_a_name(statd: Path, call: Call, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(lock_holders, "_MOST", 0)
    (statd / "kept" / "directory").mkdir()
    record = monitor(statd, "192.0.2.7") if name == "directory" else monitor(statd, name)
    call("put-back")
    monkeypatch.setattr(lock_holders, "_MOST", 10)
    call("add-client", name, "server")
    kept = {path.name: path.read_text() for path in (statd / "kept").iterdir() if path.is_file()}
    assert kept == {"192.0.2.7" if name == "directory" else name: record}


def test_only_what_still_tells_clients_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    monkeypatch.setattr(os, "kill", lambda *arguments: ended.append(arguments))
    for pid, argv in (
        (7, ["sm-notify", "-f", "-P", "/state/statd"]),
        (8, ["sm-notify"]),
        (9, ["vi", "/state/statd"]),
        (10, []),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_text("".join(f"{word}\0" for word in argv))
    (tmp_path / "11").mkdir()  # one that has ended meanwhile
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "cmdline").write_bytes(b"somebody\xff\0\xfe\0")  # without a container, anybody's
    lock_holders.end_notifier(Path("/state/statd"), tmp_path)
    assert ended == [(7, signal.SIGKILL)]
