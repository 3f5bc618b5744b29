"""A server is destroyed under a client; another one, with nothing of it but shared storage and address, goes on.

`make failover` runs this. It is no part of `make test`, which does nearly the same with one machine
(test_power_cut.py): three virtual machines take long.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from os import kill
from pathlib import Path
from signal import SIGKILL

import pytest

from deploy.appliance import Compose, start
from deploy.paths import state_root
from deploy.rest import Rest
from deploy.vm.appliance import API_PORT, COMPOSE_FILE, EVERYBODY, NFS_PORT, appliance_disks, compose_in
from deploy.vm.machine import Forward, Spec
from deploy.vm.preload import ImageDisks, load, wait_for_docker
from deploy.vm.session import Vm, boot, free_port
from tests.vm.conftest import Client
from tests.vm.second import HOST

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

_FILES = 80
_OFF_SECONDS = 20.0
_ADDITIONS = str(Path(COMPOSE_FILE).with_name("compose.override.yaml"))
# As docs/deployment.md says it.
_STATE_ON_SHARED_STORAGE = b"""
volumes:
  state:
    driver_opts: {type: none, o: bind, device: /shared/state}
"""
# Neither the host's name nor its machine id is to matter.
_TAKE_OVER = """set -e
hostname {name}; tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
mkdir /shared; mount LABEL=shared /shared; mkdir -p /shared/state /shared/srv/data
"""


@dataclass(frozen=True)
class Servers:
    """Makes machines that differ in all but the shared storage and the ports, which are their address."""

    disks: ImageDisks
    storage: Path
    api_port: int
    nfs_port: int

    @contextmanager
    def serving(self, name: str) -> Iterator[tuple[Vm, Rest, Compose]]:
        """Give a machine that has mounted the storage and serves what is on it. It is destroyed after the block."""
        forwards = (Forward(self.api_port, API_PORT), Forward(self.nfs_port, NFS_PORT))
        spec = Spec(self.disks.system, forwards=forwards, drives=self.disks.drives, storage=(self.storage,))
        home = self.storage.with_name(name)
        home.mkdir()
        vm = boot(spec, home)
        try:
            wait_for_docker(vm)
            if self.disks.rest is not None:
                load(vm)
            taken = vm.channel.run(_TAKE_OVER.format(name=name))
            assert taken.status == 0, taken.stdout
            compose = compose_in(vm)
            vm.channel.execute(("tee", _ADDITIONS), _STATE_ON_SHARED_STORAGE)
            variables = {**compose.variables, "HOLDFAST_SOURCES": "/shared/srv"}
            compose = replace(compose, files=(*compose.files, _ADDITIONS), variables=variables)
            yield vm, start(compose, self.api_port), compose
        finally:
            destroy(vm)


def destroy(vm: Vm) -> None:
    """End a machine in the middle of what it does, as fencing does."""
    if vm.machine.alive():
        kill(vm.machine.pid, SIGKILL)
        assert vm.machine.wait_until_off(_OFF_SECONDS)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """The shared storage, an ext4 of 2 GiB, and the address."""
    runs = state_root() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vm-failover-", dir=runs) as directory:
        storage = Path(directory) / "storage.raw"
        with storage.open("wb") as file:
            file.truncate(2 << 30)
        subprocess.run(("mke2fs", "-q", "-t", "ext4", "-L", "shared", str(storage)), check=True)
        yield Servers(appliance_disks(), storage, free_port(), free_port())


def test_a_client_goes_on_at_another_server(
    client: Client, servers: Servers, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as machines:
        first, rest, compose = machines.enter_context(servers.serving("first"))
        rest.create_share({"name": "data", "source": "/srv/data", "clients": [EVERYBODY]})
        client.run(
            f"""
            mkdir -p /mnt/data
            mount -t nfs4 -o vers=4.2,port={servers.nfs_port} {HOST}:/data /mnt/data
            mkdir -p /mnt/data/tree
            for i in $(seq 1 {_FILES}); do echo "content $i" > /mnt/data/tree/$i; done
            sync
            python3 $FILES/handle.py --save /run/handles /mnt/data/tree/*
            nohup python3 $FILES/hold.py /mnt/data/held > /run/held.out 2>&1 < /dev/null & echo $! > /run/held.pid
            await 300 test -s /mnt/data/held
            rm -f /run/lock.*; : > /mnt/data/locked
            nohup python3 $FILES/lock.py hold /mnt/data/locked > /run/lock.out 2>&1 < /dev/null &
            echo $! > /run/lock.pid
            await 60 grep --quiet locked /run/lock.out
            """,
            timeout=600,
        )
        try:
            known = _same(compose.run("exec", "-T", "holdfast", "holdfast", "check", "data"))
            began = time.monotonic()
            destroy(first)
            _, _, compose = machines.enter_context(servers.serving("second"))
            gap = time.monotonic() - began
            for mode in ("passive", "evict"):
                report = compose.run("exec", "-T", "holdfast", "holdfast", "check", "data", "--mode", mode)
                assert _same(report) >= known, report
            said = client.run(
                f"""
                before=$(stat -c %s /mnt/data/held)
                grown() {{ [ "$(stat -c %s /mnt/data/held)" -gt $((before + 80)) ]; }}
                await 600 grown
                touch /run/held.stop
                await 600 sh -c '! kill -0 $(cat /run/held.pid)'
                cat /run/held.out
                touch /run/lock.stop  # what was locked is written to, which fails if the lock was lost
                await 600 sh -c '! kill -0 $(cat /run/lock.pid)'
                cat /run/lock.out; test "$(cat /mnt/data/locked)" = 'still mine'
                echo 3 > /proc/sys/vm/drop_caches
                python3 $FILES/handle.py --compare /run/handles /mnt/data
                for i in $(seq 1 {_FILES}); do [ "$(cat /mnt/data/tree/$i)" = "content $i" ]; done
                """,
                timeout=1500,
            )
            assert re.search(r"^\d+ lines$", said, re.MULTILINE), said
            assert f"{_FILES} the same" in said, said
            assert "let go" in said, said
            record_property("failover", f"{gap:.0f} s from the end of one machine until another one, booted then, was "
                            f"ready; {', '.join(re.findall('^paused .*$', said, re.MULTILINE))}")
        finally:
            dead = "kill -9 $(cat /run/held.pid /run/lock.pid) 2>/dev/null || true"
            client.run(f"{dead}; umount -f -l /mnt/data || true", timeout=60)


def _same(report: str) -> int:
    """Return how many handles a check found to name their files, having seen that it found nothing else."""
    rows = re.findall(r"^(same|moved|deleted|revoked|unanswered|drift)\s+(\d+)$", report, re.MULTILINE)
    counts = {outcome: int(count) for outcome, count in rows if int(count)}
    assert set(counts) == {"same"}, report
    assert counts["same"] >= _FILES // 2, report
    return counts["same"]
