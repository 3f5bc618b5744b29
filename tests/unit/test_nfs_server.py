"""Putting exports in force with an exportfs that says what the real one was heard to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from appliance.errors import CommandError
from appliance.model import Client
from appliance.nfs.commands import ENVIRONMENT
from appliance.nfs.exports import Export, expected, render
from appliance.nfs.server import Exported, NfsServer
from appliance.settings import Settings
from appliance.state.records import Fsid

FSID = Fsid(UUID("5d3a1b42-1111-4222-8333-123456789abc"))
OFFICE, NAMED = Client(network="192.0.2.0/24"), Client(host="alias.example.org")

Play = Callable[..., None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "state/nfs").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    return Settings(
        state_dir=tmp_path / "state", run_dir=tmp_path / "run", exports_file=tmp_path / "etc/holdfast.exports"
    )


@pytest.fixture
def play(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Have exportfs leave this table, complain so and end with this status."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{tmp_path / 'bin'}:{ENVIRONMENT['PATH']}")

    def play(etab: list[tuple[str, str]], complaint: str = "", status: int = 0) -> None:
        (tmp_path / "etab").write_text("".join(f"{path}\t{client}(rw,sync)\n" for path, client in etab))
        (tmp_path / "complaint").write_text(complaint)
        script = f"""#!/bin/sh
[ "$1" = -ra ] || exit 0
cp {tmp_path}/etab {settings.nfs_state_dir}/etab
cat {tmp_path}/complaint >&2
exit {status}
"""
        (tmp_path / "bin/exportfs").write_text(script)
        (tmp_path / "bin/exportfs").chmod(0o755)

    return play


def wanted(settings: Settings, *clients: Client) -> Exported:
    exports = [Export(settings.exports_dir / "a", FSID, clients)]
    return Exported(render(settings.exports_dir, exports), expected(settings.exports_dir, exports))


def test_what_exportfs_has_taken_over_is_in_force(settings: Settings, play: Play) -> None:
    play([("/exports", "192.0.2.0/24"), ("/exports/a", "192.0.2.0/24")])
    server = NfsServer(settings)
    asyncio.run(server.export(wanted(settings, OFFICE), ()))
    assert server.exported() == wanted(settings, OFFICE)


def test_a_host_may_be_called_otherwise_by_dns(settings: Settings, play: Play) -> None:
    play([("/exports", "host.example.org"), ("/exports/a", "host.example.org")])
    server = NfsServer(settings)
    asyncio.run(server.export(wanted(settings, NAMED), ()))
    assert server.exported() == wanted(settings, NAMED)


@pytest.mark.parametrize("status", [0, 1])
def test_a_host_without_an_address_is_left_out_and_missed(settings: Settings, play: Play, status: int) -> None:
    complaint = "exportfs: Failed to resolve alias.example.org\nexportfs: /exports/late does not support NFS export\n"
    play([("/exports", "192.0.2.0/24"), ("/exports/a", "192.0.2.0/24")], complaint, status)
    server = NfsServer(settings)
    asyncio.run(server.export(wanted(settings, OFFICE, NAMED), [Path("/exports/late")]))
    assert server.exported().text == wanted(settings, OFFICE, NAMED).text
    missed = wanted(settings, OFFICE, NAMED).pairs - server.exported().pairs
    assert {path for path, _ in missed} == {"/exports", "/exports/a"}


@pytest.mark.parametrize(
    ("etab", "complaint", "status"),
    [
        ([], "exportfs: /exports/a: No such file or directory\n", 1),
        ([("/exports", "192.0.2.0/24")], "", 0),
        ([("/exports", "192.0.2.0/24"), ("/exports/a", "192.0.2.0/24"), ("/exports/b", "192.0.2.0/24")], "", 0),
        ([("/exports", "192.0.2.0/24"), ("/exports/a", "192.0.2.0/24"), ("/exports/a", "other.org")], "", 0),
    ],
)
def test_what_failed_is_not_taken_for_in_force(
    settings: Settings, play: Play, etab: list[tuple[str, str]], complaint: str, status: int
) -> None:
    server = NfsServer(settings)
    play([("/exports", "192.0.2.0/24"), ("/exports/a", "192.0.2.0/24")])
    asyncio.run(server.export(wanted(settings, OFFICE), ()))
    play(etab, complaint, status)
    with pytest.raises(CommandError):
        asyncio.run(server.export(wanted(settings, OFFICE.model_copy(update={"access": "rw"})), ()))
    # The file says what was wanted already, and the table may not tell `ro` from `rw`: it has to be done again.
    assert server.exported().text == ""


class Kernel:
    """The kernel's server, and rpc.nfsd, which start without nfsdcld the first so many times."""

    def __init__(self, pipefs: Path, late: int) -> None:
        self.pipe = pipefs / "nfsd" / "cld"
        self.pipe.parent.mkdir(parents=True)
        self.late = late
        self.running = self.starts = 0

    async def threads(self) -> int:
        return self.running

    async def stop(self) -> None:
        self.running = 0
        self.pipe.unlink(missing_ok=True)

    async def run(self, argv: list[str], timeout: float) -> None:  # noqa: ARG002 - as the real one is called
        if not self.running:
            self.starts += 1
            if self.starts > self.late:
                self.pipe.touch()
        self.running = int(argv[-1])


@pytest.mark.parametrize("nfs_v3", [False, True])
def test_nfsv3_clients_are_told_of_a_start_and_of_nothing_else(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, nfs_v3: bool
) -> None:
    kernel, server = Kernel(tmp_path / "pipefs", 0), NfsServer(settings.model_copy(update={"nfs_v3": nfs_v3}))
    told = []

    async def run(argv: list[str], timeout: float) -> None:
        if "rpc.nfsd" in argv:
            await kernel.run(argv, timeout)
        else:
            told.append((next(word for word in ("put-back", "sm-notify") if word in argv), kernel.running))

    monkeypatch.setattr("appliance.nfs.daemons.PIPEFS", tmp_path / "pipefs")
    monkeypatch.setattr("appliance.nfs.server.run", run)
    monkeypatch.setattr(server, "_knfsd", kernel)
    asyncio.run(server.tell_clients())  # at a supervisor's start
    asyncio.run(server.set_threads(8))
    asyncio.run(server.set_threads(4))
    asyncio.run(server.tell_clients())
    # Only with its threads there: a client's reclaim that is refused a connection is not tried again.
    once = [("put-back", 8), ("sm-notify", 8)] if nfs_v3 else []
    assert told == once
    if nfs_v3:
        (settings.run_dir / "nfsv3-clients-to-tell").touch()  # a supervisor that has died before it told them
        asyncio.run(server.tell_clients())
        assert len(told) == 4


@pytest.mark.parametrize(("late", "starts"), [(0, 1), (2, 3), (1000, 21)])
def test_a_server_that_nfsdcld_was_too_late_for_is_started_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: int, starts: int
) -> None:
    kernel, server = Kernel(tmp_path / "pipefs", late), NfsServer(settings)
    monkeypatch.setattr("appliance.nfs.daemons.PIPEFS", tmp_path / "pipefs")
    monkeypatch.setattr("appliance.nfs.server.run", kernel.run)
    monkeypatch.setattr(server, "_knfsd", kernel)
    asyncio.run(server.set_threads(8))
    assert (kernel.running, kernel.starts) == (8, starts)
    assert server.tracks_clients() == (late < starts)
    asyncio.run(server.set_threads(4))  # another number is no start
    assert (kernel.running, kernel.starts) == (4, starts)
