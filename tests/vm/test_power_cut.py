"""The server's power is cut under a client: after the boot every handle is good, and the client goes on."""

from __future__ import annotations

import re

import pytest

from deploy.vm.appliance import EVERYBODY
from tests.vm.conftest import Client
from tests.vm.second import HOST, second_machine

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

_FILES = 80


def test_handles_outlive_the_servers_power(client: Client) -> None:
    with second_machine() as (server, rest, compose):
        server.channel.execute(("mkdir", "-p", "/srv/power"))
        rest.create_share({"name": "power", "source": "/srv/power", "clients": [EVERYBODY]})
        client.run(
            f"""
            mkdir -p /mnt/power
            mount -t nfs4 -o vers=4.2,port={server.nfs_port} {HOST}:/power /mnt/power
            mkdir -p /mnt/power/tree/below
            for i in $(seq 1 {_FILES}); do echo "content $i" > /mnt/power/tree/below/$i; done
            ln -s below/1 /mnt/power/tree/symlink; ln /mnt/power/tree/below/2 /mnt/power/tree/linked
            sync
            python3 $FILES/handle.py --save /run/handles /mnt/power/tree/below/*
            nohup python3 $FILES/hold.py /mnt/power/held > /run/held.out 2>&1 < /dev/null & echo $! > /run/held.pid
            await 60 test -s /mnt/power/held
            """,
            timeout=400,
        )
        try:
            sampled = compose.run("exec", "-T", "holdfast", "holdfast", "check", "power")
            server.channel.execute(("sync",))
            server.cut_power()
            vm = server.power_on()
            compose, _ = server.reconnect(vm, rest.token)
            for mode in ("passive", "evict"):
                report = compose.run("exec", "-T", "holdfast", "holdfast", "check", "power", "--mode", mode)
                assert set(_counts(report)) == {"same"}, report
                assert _count(report) >= _count(sampled), report
            said = client.run(
                """
                before=$(stat -c %s /mnt/power/held)
                grown() { [ "$(stat -c %s /mnt/power/held)" -gt $((before + 80)) ]; }
                await 180 grown
                touch /run/held.stop
                await 60 sh -c '! kill -0 $(cat /run/held.pid)'
                cat /run/held.out
                echo 3 > /proc/sys/vm/drop_caches
                python3 $FILES/handle.py --compare /run/handles /mnt/power
                for i in $(seq 1 80); do [ "$(cat /mnt/power/tree/below/$i)" = "content $i" ]; done
                """,
                timeout=500,
            )
            assert re.search(r"^\d+ lines$", said, re.MULTILINE), said
            assert f"{_FILES} the same" in said, said
        finally:
            client.run("kill $(cat /run/held.pid) 2>/dev/null || true; umount -f -l /mnt/power || true", timeout=60)


def _count(report: str) -> int:
    found = re.search(r"(\d+) handles checked", report)
    assert found, report
    assert int(found[1]) >= _FILES // 2, report
    return int(found[1])


def _counts(report: str) -> dict[str, int]:
    """Return the outcomes that some handle had; rows of the summary's table."""
    rows = re.findall(r"^(same|moved|deleted|revoked|unanswered|drift)\s+(\d+)$", report, re.MULTILINE)
    return {outcome: int(count) for outcome, count in rows if int(count)}
