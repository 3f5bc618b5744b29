"""`python -m deploy` on a real engine, from preflight to uninstall, on a machine that is somebody's own host.

The container has another process 1 than the appliance's own here (`init: true`); the other tests run it without. No
registry is in the engine's reach, so what it builds is a layer on the image that buildah has built.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from deploy.vm.appliance import MOUNT
from tests.vm import checkout
from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

_TOOLS = checkout.DEPLOY + """
HOLDFAST_URL=http://127.0.0.1:8080
identity() { api GET /v1/shares/demo | python3 -c 'import json, sys; print("fsid", json.load(sys.stdin)["fsid"])'; }
"""

_ADDITIONS = b"""
services:
  holdfast:
    init: true
    build:
      dockerfile_inline: |
        FROM holdfast:kept
        LABEL built=here
"""

_BEGIN = """
docker tag holdfast:latest holdfast:kept
umount /mnt/share; compose down
rm -rf /srv/demo
"""

_BACK = f"""
umount --force --lazy /mnt/demo 2> /dev/null || true
docker tag holdfast:kept holdfast:latest || true; docker image rm holdfast:kept > /dev/null || true
compose up --detach --no-build --force-recreate; await_ready
{shlex.join(MOUNT)}
api DELETE /v1/shares/demo > /dev/null || true
rm -rf /srv/demo
"""


class Host:
    """The machine with a checkout and without an appliance."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def run(self, script: str, timeout: float = 1500) -> str:
        """Run a script as `Client.run` does, with the tools of this file."""
        return self._client.run(_TOOLS + script, timeout, mounted=False)


@pytest.fixture
def host(client: Client) -> Iterator[Host]:
    """The machine; afterwards it is what it was for the other tests."""
    checkout.bring(client)
    client.channel.execute(("tee", "/root/checkout/compose.override.yaml"), _ADDITIONS)
    try:
        client.run(_BEGIN, 900)
        yield Host(client)
    finally:
        client.run(_BACK, 1500, mounted=False)


def test_from_preflight_to_uninstall(host: Host) -> None:
    _preflight_finds_nothing_that_fails(host)
    _up_builds_once_and_can_be_repeated(host)
    _another_process_1_reaps_and_passes_signals_on(host)
    _preflight_tells_what_fails(host)
    _uninstall_and_down_keep_state_and_data(host)


def _preflight_finds_nothing_that_fails(host: Host) -> None:
    report, _, status = host.run("deploy preflight --json /srv/source").rpartition("preflight ended with ")
    assert json.loads(report)["ok"], report
    assert status.strip() == "0"
    findings = {each["subject"]: each for each in json.loads(report)["findings"]}
    assert "4.2" in findings["NFS versions"]["message"]
    assert any(name.startswith("FUSE of") and found["verdict"] in ("ok", "note") for name, found in findings.items())
    assert any(name.startswith("Docker ") and "cgroup v" in found["message"] for name, found in findings.items())
    assert "ext4, handles open" in findings["source /srv/source"]["message"]
    assert "free" in findings["port 2049"]["message"]
    assert "free" in findings["port 8080"]["message"]


def _up_builds_once_and_can_be_repeated(host: Host) -> None:
    first = host.run("deploy build; deploy up")
    assert first.count("Building the image") == 1, first
    said = host.run(
        """
        before=$(container)
        deploy up
        test "$before" = "$(container)"
        docker inspect --format 'built: {{.Config.Labels.built}}' $before
        mkdir -p /mnt/demo; mount -t nfs4 -o vers=4.2 127.0.0.1:/demo /mnt/demo
        cmp /mnt/demo/README /srv/demo/README
        deploy status; deploy logs --tail 1000
        """
    )
    assert "Building the image" not in said
    for up in (first, said):
        assert "Holdfast is up in this machine's Docker engine" in up, up
        assert "mount   mount -t nfs4" in up
        assert "up ended with 0" in up
    assert "built: here" in said
    assert re.search(r"ready +yes", said), said
    assert re.search(r"demo +ok +/srv/demo", said), said
    assert re.search(r"clients +[1-9]", said), said
    assert "status ended with 0" in said
    assert "share=demo" in said, said
    assert "another program is process 1" in said, said


def _another_process_1_reaps_and_passes_signals_on(host: Host) -> None:
    said = host.run(
        """
        docker exec $(container) cat /proc/1/comm
        begin held python3 $FILES/hold.py /mnt/demo/held
        docker exec $(container) sh -c '(sleep 0.1 & sleep 0.1 &)'
        supervisor=$(pgrep --oldest -x holdfast); kill -9 $supervisor
        await 600 test ! -e /proc/$supervisor; await_ready
        no_zombies() { ! docker exec $(container) sh -c 'cat /proc/[0-9]*/status 2> /dev/null | grep ^State:.Z'; }
        await 300 no_zombies
        docker inspect --format '{{.RestartCount}} restarts' $(container)
        docker stop --time 120 $(container) > /dev/null
        docker inspect --format 'status {{.State.ExitCode}}' $(container)
        . $FILES/nothing_is_left.sh
        await 300 nothing_is_left
        docker start $(container) > /dev/null; await_ready
        finish held
        umount /mnt/demo
        """
    )
    assert "docker-init\n" in said
    assert "\n0 restarts\nstatus 0\n" in said, said
    assert re.search(r"^\d+ lines$", said, re.MULTILINE), said


def _preflight_tells_what_fails(host: Host) -> None:
    said = host.run(
        """
        mkdir -p /srv/demo/none
        HOLDFAST_NFS_BIND=10.0.2.15:22 deploy preflight /srv/demo /proc /srv/none
        """
    )
    assert "preflight ended with 1" in said
    assert re.search(r"failed +port 22 .*somebody listens there\n +> ss -ltnp", said), said
    assert re.search(r"ok +port 8080 .*this appliance has it", said), said
    assert re.search(r"ok +source /srv/demo ", said), said
    assert re.search(r"failed +source /proc .*\n +> ", said), said
    assert re.search(r"failed +source /srv/none .*\n +> mkdir -p /srv/none", said), said


def _uninstall_and_down_keep_state_and_data(host: Host) -> None:
    said = host.run(
        """
        . $FILES/nothing_is_left.sh
        identity
        deploy uninstall < /dev/null
        test -n "$(docker ps --quiet)"
        deploy uninstall --yes
        await 300 nothing_is_left
        test -z "$(docker ps --all --quiet)"
        fails docker image inspect holdfast:latest > /dev/null 2>&1
        docker volume inspect --format '{{.Name}} is there' holdfast_state
        deploy uninstall --yes
        test -s /srv/demo/README
        deploy up
        identity
        deploy down
        await 300 nothing_is_left
        test -z "$(docker ps --all --quiet)"
        deploy down; deploy status
        """,
    )
    assert re.findall(r"^(\w+) ended with (\d+)$", said, re.MULTILINE) == [
        ("uninstall", "69"), ("uninstall", "0"), ("uninstall", "0"), ("up", "0"), ("down", "0"), ("down", "0"),
        ("status", "69")], said
    assert re.search(r"keep +the volume holdfast_state", said), said
    assert re.search(r"keep +the shared directories", said), said
    assert re.search(r"remove +the container holdfast-holdfast-1", said), said
    assert "holdfast_state is there" in said
    assert "There is nothing of Holdfast on this engine." in said
    before, after = re.findall(r"^fsid (.*)$", said, re.MULTILINE)
    assert before == after, said
