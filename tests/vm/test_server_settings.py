"""The NFS server's settings change at once: it is started anew under its clients, which lose nothing."""

import re
from collections.abc import Callable

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

# What the kernel runs with, seen through a mount of its own that ends with the process.
_SETUP = """
. $FILES/reclaim.sh
in_force() {
    nsenter --net="/proc/$(docker inspect --format '{{.State.Pid}}' "$(container)")/ns/net" \
        unshare --mount sh -c "mount -t nfsd nfsd /proc/fs/nfsd && cat /proc/fs/nfsd/$1"
}
change() {
    curl --silent --show-error --fail-with-body --max-time 600 --request PATCH "$HOLDFAST_URL/v1/server${2:-}" \
        --header "Authorization: Bearer $HOLDFAST_TOKEN" --json "$1"
    echo
}
was='{"versions": null, "lease": null, "grace": null, "addresses": null}'
"""


def test_a_change_is_in_force_at_once_and_clients_see_a_pause(
    client: Client, record_property: Callable[[str, object], None]
) -> None:
    said = client.run(
        f"""{_SETUP}
        trap 'no_second_client; change "$was" > /dev/null' EXIT
        before="$(in_force nfsv4leasetime) $(in_force versions)"
        storm storm-settings; hold; take
        change '{{"versions": ["3", "4.1", "4.2"], "lease": 33, "grace": 47}}' '?dry_run=true' | grep '"lease","grace"'
        test "$(in_force nfsv4leasetime) $(in_force versions)" = "$before"
        change '{{"versions": ["3", "4.1", "4.2"], "lease": 33, "grace": 47}}' | grep '"lease","grace"'
        test "$(in_force nfsv4leasetime) $(in_force nfsv4gracetime)" = '33 47'
        in_force versions | grep --word-regexp '+3'
        docker exec $(container) rpcinfo -T tcp 127.0.0.1 nfs 3
        still_held
        change "$was" > /dev/null
        test "$(in_force nfsv4leasetime) $(in_force versions)" = "$before"
        still_held
        let_go
        finish storm-settings; hold_no_more
        await_ready
        """,
        timeout=1700,
    )
    assert said.count("held: ") == 3, said
    assert re.search(r"[1-9]\d* operations", said)
    pauses = re.findall(r"^paused ([0-9.]+) s$", said, re.MULTILINE)
    record_property("settings", f"two changes that start knfsd anew: a writing client waited {', '.join(pauses)} s")


def test_what_cannot_be_is_refused_and_the_server_goes_on(client: Client) -> None:
    """An address that the container has not, before anything stops; a port that is taken, by going back."""
    said = client.run(
        f"""{_SETUP}
        trap 'change "$was" > /dev/null' EXIT
        before="$(in_force nfsv4leasetime) $(in_force versions) $(in_force portlist)"
        storm storm-refused
        change '{{"addresses": ["192.0.2.1"]}}' || true
        change '{{"versions": ["3", "4.1", "4.2"], "statd_port": 8080}}' || true
        test "$(in_force nfsv4leasetime) $(in_force versions) $(in_force portlist)" = "$before"
        finish storm-refused
        await_ready
        api GET /v1/server
        """,
        timeout=1700,
    )
    assert "address-missing" in said, said
    assert "command-failed" in said, said
    assert re.search(r"[1-9]\d* operations", said)
    assert '"statd_port":null' in said.replace(" ", ""), said
