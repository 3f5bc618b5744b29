"""NFS clients with the paths of what they hold, over a real mount; only the NFS server's word is played."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from appliance.control.checks import EventsReply, ListEvents
from appliance.control.clients import ClientReply, ClientsReply, ExpireClient, GetClient, ListClients
from appliance.control.messages import Done
from appliance.errors import RequestError
from appliance.model.nfs_clients import NfsClientReport
from appliance.state.events import EventFilter
from tests.support.appliance import Appliance, running
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor

pytestmark = pytest.mark.fuse

INFO = 'address: "192.0.2.7:862"\nstatus: confirmed\nname: "desk"\nminor version: 2\ncallback state: UP\n'


def state(path: Path, kind: str = "open") -> str:
    """What nfsd would say of an open file."""
    found = os.lstat(path)
    number = found.st_ino - 2**64 if found.st_ino >= 2**63 else found.st_ino  # as the kernel prints it
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{number}"
    return f'- 0x01: {{ type: {kind}, access: rw, deny: --, superblock: "{device}", filename: "x/y", owner: "o" }}\n'


async def report(appliance: Appliance) -> NfsClientReport:
    reply = await appliance.desk.answer(GetClient(number=4))
    assert isinstance(reply, ClientReply)
    return reply.report


def test_clients_are_told_with_the_paths_of_what_they_hold(disk: Filesystem, tmp_path: Path, watch: Janitor) -> None:
    source = disk.source / "clients"
    (source / "d" / "below").mkdir(parents=True)
    for name in ("d/below/f", "d/gone", "moved"):
        (source / name).write_text("x")
    (disk.source / "other").mkdir()
    os.link(source / "d/below/f", source / "d/linked")

    async def body() -> None:
        async with running(tmp_path) as appliance:
            await appliance.share("a", source)
            await appliance.share("b", disk.source / "other")
            mount = appliance.settings.exports_dir / "a"
            held = [state(mount / name) for name in ("d/below/f", "d/gone", "moved", "d")]
            appliance.server.sessions[4] = (INFO, "".join(held) + state(mount / "moved", "deleg") + state(tmp_path))
            appliance.server.mounted = [("192.0.2.8", str(mount)), ("192.0.2.8", "/elsewhere")]
            (source / "d/gone").unlink()
            (source / "moved").rename(source / "d/here")

            found = await report(appliance)
            assert found.paths_complete
            told = [(one.kind, one.share, one.path) for one in found.states]
            assert told[0] in (("open", "a", "d/below/f"), ("open", "a", "d/linked"))
            assert told[1:] == [
                ("open", "a", None), ("open", "a", "d/here"), ("open", "a", "d"), ("delegation", "a", "d/here"),
                ("open", None, None),
            ]  # fmt: skip
            (nowhere, on_a) = found.held
            assert (nowhere.share, nowhere.opens) == (None, 1)
            assert (on_a.share, on_a.opens, on_a.delegations, on_a.locks) == ("a", 4, 1, 0)

            listed = await appliance.desk.answer(ListClients(share="a"))
            assert isinstance(listed, ClientsReply)
            assert ([one.number for one in listed.clients], [one.share for one in listed.mounts]) == ([4], ["a"])
            on_b = await appliance.desk.answer(ListClients(share="b"))
            assert isinstance(on_b, ClientsReply)
            assert (on_b.clients, on_b.mounts) == ((), ())

            assert await appliance.desk.answer(ExpireClient(number=4), by="token x") == Done()
            assert appliance.server.sessions == {}
            for question in (GetClient(number=4), ExpireClient(number=4), ListClients(share="c")):
                with pytest.raises(RequestError):
                    await appliance.desk.answer(question)
            events = await appliance.desk.answer(ListEvents(filter=EventFilter(kind="client-expired")))
            assert isinstance(events, EventsReply)
            assert [event.by for event in events.events] == ["token x"]

    asyncio.run(body())
