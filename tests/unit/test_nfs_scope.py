"""The server's scope stays for ever, and the host has that name where threads are set, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path

import pytest

from appliance.errors import CommandError
from appliance.nfs import scope
from appliance.nfs.commands import run
from appliance.nfs.server import NfsServer
from appliance.settings import Settings


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "scope"
    made = scope.kept(path)
    assert len(made) <= 64
    assert scope.kept(path) == made
    assert scope.kept(tmp_path / "another") != made


@pytest.mark.parametrize("damage", ["", "holdfast-\n", "a" * 65, "\0" * 42, "\udcff"])
def test_a_damaged_one_is_made_anew_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    path = tmp_path / "scope"
    path.write_text(damage, errors="surrogateescape")
    with caplog.at_level(logging.WARNING):
        made = scope.kept(path)
    assert "scope is damaged" in caplog.text
    assert scope.kept(path) == made


def test_threads_are_started_and_ended_within_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    async def note(argv: list[str], **_: object) -> str:
        ran.append(" ".join(argv))
        return "0\n"

    monkeypatch.setattr("appliance.nfs.server.run", note)
    monkeypatch.setattr("appliance.nfs.nfsd_files.run", note)
    monkeypatch.setattr(NfsServer, "tracks_clients", lambda _: True)
    settings = Settings(state_dir=tmp_path / "state", run_dir=tmp_path / "run", nfs_conf_file=tmp_path / "nfs.conf")
    for _ in ("a container", "one made anew"):
        server = NfsServer(settings)
        server.prepare()
        server.use(tmp_path)
        asyncio.run(server.set_threads(8))
        asyncio.run(server.set_threads(0))
    within = " ".join(scope.within(scope.kept(settings.nfs_state_dir / "scope")))
    for command in (" unshare --mount -- rpc.nfsd ", f" tee -- {tmp_path}/threads"):
        assert sum(line.startswith(within + command) for line in ran) == 2, ran


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a namespace")
def test_only_the_command_sees_another_name_of_the_host() -> None:
    before = socket.gethostname()
    assert asyncio.run(run([*scope.within("holdfast-other"), "uname", "--nodename"])) == "holdfast-other\n"
    assert socket.gethostname() == before
    with pytest.raises(CommandError, match="No such file"):
        asyncio.run(run([*scope.within("holdfast-other"), "there-is-no-such-program"]))
