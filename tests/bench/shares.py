"""`python -m tests.bench.shares [--shares N]`: what the control plane takes for many shares.

Everything is real but the mounts, the workers and knfsd: REST over a socket, the control socket, the database and its
copy, admission, plans, mountinfo and etab as long as they would be. A real mount with its processes comes on top of
"apply", for each share that is new.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from unittest.mock import patch

import httpx

from api.app import create_app
from api.control_client import ControlClient
from appliance import config_text
from appliance.model import Client, Config, Share
from appliance.nfs.exports import parse_etab
from appliance.nfs.server import Exported
from appliance.supervisor import mountinfo
from appliance.supervisor.control_server import ControlServer
from tests.support.appliance import Appliance
from tests.support.played import FakePath
from tests.support.played_nfs import PlayedServer

TOKEN = "bench"  # noqa: S105 - made up
_OPTIONS = (
    "rw,sync,wdelay,hide,nocrossmnt,secure,root_squash,no_all_squash,no_subtree_check,secure_locks,acl,no_pnfs,"
    "fsid=5d3a1b42-1111-4222-8333-123456789abc,mountpoint,anonuid=65534,anongid=65534,sec=sys,rw,secure,root_squash"
)

Results = dict[str, tuple[float, float]]


class LongTables(PlayedServer):
    """Reads a table of exports as long as exportfs would have written it."""

    def exported(self) -> Exported:
        text = "".join(f"{path}\t{client}({_OPTIONS})\n" for path, client in sorted(self.there.pairs))
        return Exported(self.there.text, parse_etab(text))

    async def export(self, wanted: Exported, unserved: Collection[Path]) -> None:
        await super().export(wanted, unserved)


def shares(sources: Path, count: int, comment: str = "") -> tuple[Share, ...]:
    """Return that many shares, and see that their sources are there."""
    made = []
    for number in range(count):
        source = sources / f"source-{number}"
        source.mkdir(exist_ok=True)
        clients = (Client(network=f"10.{number % 250}.0.0/16", access="rw"), Client(host=f"192.0.2.{number % 250}"))
        made.append(Share(name=f"share-{number}", source=str(source), clients=clients, comment=comment))
    return tuple(made)


async def timed(what: str, work: Callable[[], Awaitable[object]], results: Results) -> None:
    """Run something and keep how many seconds it took, by the clock and of this process's processor time."""
    began, busy = time.monotonic(), time.process_time()
    await work()
    results[what] = (time.monotonic() - began, time.process_time() - busy)


async def measure(directory: Path, count: int) -> Results:
    """Return the seconds that each thing took."""
    path = FakePath()
    appliance = Appliance(directory, data_path=path, server=LongTables, config_file=directory / "shares.yaml")
    control = ControlServer(directory / "control.sock", {os.getuid()}, appliance.desk.answer)
    await control.start()
    results: Results = {}
    app = create_app(ControlClient(directory / "control.sock", timeout=600), TOKEN)
    transport = httpx.ASGITransport(app=app)
    headers = {"Authorization": f"Bearer {TOKEN}", "If-Match": "*"}

    def seen(_: Path) -> list[mountinfo.Mount]:
        lines = (
            f"{number} 1 0:{number} / {mount} rw,relatime shared:1 - fuse.holdfast {mount.name} rw,user_id=0"
            for number, mount in enumerate(path.mounts)
        )
        return mountinfo.parse("\n".join(lines))

    async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers, timeout=600) as http:

        async def call(method: str, url: str, body: object = None) -> httpx.Response:
            answer = await http.request(method, url, json=body)
            assert answer.is_success, answer.text
            return answer

        async def file() -> None:
            await appliance.file.look()
            assert appliance.file.status.state == "applied", appliance.file.status

        with patch.object(mountinfo, "_read", seen):
            await appliance.reconciler.reconcile()
            sources = directory / "srv"
            sources.mkdir()
            first = Config(shares=shares(sources, count)).model_dump(mode="json")
            second = Config(shares=shares(sources, count, "changed"))
            await timed("apply, all new", lambda: call("PUT", "/v1/config", first), results)
            await timed("apply, nothing new", lambda: call("PUT", "/v1/config", first), results)
            await timed("apply as a dry run", lambda: call("PUT", "/v1/config?dry_run=true", {"shares": []}), results)
            await timed("list", lambda: call("GET", "/v1/shares"), results)
            await timed("reconcile, nothing to do", appliance.reconciler.reconcile, results)
            path.mounts.clear()
            await timed("reconcile, all mounts gone", appliance.reconciler.reconcile, results)
            await timed("change one", lambda: call("PATCH", f"/v1/shares/share-{count // 2}", {"sync": False}), results)
            await timed("readiness", lambda: call("GET", "/readyz"), results)
            await timed("configuration", lambda: call("GET", "/v1/config"), results)
            (directory / "shares.yaml").write_text(config_text.render(second))
            await timed("file, all changed", file, results)
            assert len((await call("GET", "/v1/shares")).json()["shares"]) == count
            await appliance.reconciler.shut_down()
    await control.stop()
    appliance.database.close()
    appliance.store.close()
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        results = asyncio.run(measure(Path(directory), arguments.shares))
    print("| what | seconds | of them processor time |\n|---|---|---|")
    for what, (seconds, busy) in results.items():
        print(f"| {what} | {seconds:.2f} | {busy:.2f} |")


if __name__ == "__main__":
    main()
