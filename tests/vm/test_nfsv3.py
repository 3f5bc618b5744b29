"""NFSv3, when a setting turns it on: with rpcbind and rpc.statd, and file handles that outlive a restart as well."""

import re

import pytest

from tests.vm.conftest import Client

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(1800),
]


def test_a_v3_client_works_and_keeps_its_lock_over_worker_deaths_and_restarts(client: Client) -> None:
    said = client.run(
        """
        server=$(findmnt -no SOURCE /mnt/share)
        umount /mnt/share
        echo HOLDFAST_NFS_V3=true > /root/holdfast/holdfast.env
        . $FILES/second_client.sh
        back() {
            no_second_client
            umount -f /mnt/v3 2>/dev/null || true
            api PATCH /v1/server '{"lease": null, "grace": null}' > /dev/null || true
            rm -f /root/holdfast/holdfast.env; compose up --detach --no-build; await_ready
            mount -t nfs4 -o vers=4.2 "$server" /mnt/share
        }
        trap back EXIT
        compose up --detach --no-build; await_ready
        address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $(container))
        # It comes first: both lockd register with this machine's rpcbind, where rpc.statd looks for the one to tell.
        second_v3_client $address /exports/share
        mkdir -p /mnt/v3; mount -t nfs -o vers=3 $address:/exports/share /mnt/v3
        findmnt -no OPTIONS /mnt/v3 | grep -w vers=3
        noted() { api GET /v1/clients | grep '"path":"/exports/share","share":"share"'; }
        await 120 noted
        storm storm-v3 /mnt/v3
        strike 1; await 300 struck 5
        finish strikes storm-v3
        rm -f /run/lock.*; : > /mnt/v3/locked
        python3 $FILES/lock.py hold /mnt/v3/locked > /run/lock.out 2>&1 < /dev/null & holder=$!
        await 60 grep --quiet locked /run/lock.out
        for daemon in rpcbind rpc.statd; do
            awk -v name=$daemon '/^(Uid|CapPrm|CapBnd):/ { found = found " " $2 } END { print name " has" found }' \
                /proc/$(docker top $(container) -eo pid,comm | awk -v name=$daemon '$2 == name { print $1 }')/status
        done
        another() { echo "another client is $(python3 $FILES/lock.py try /mnt/second/locked) $1"; }
        another before
        compose up --detach --no-build --force-recreate; await_ready
        another 'in a container made anew'
        kill -9 $(docker inspect --format '{{.State.Pid}}' $(container))
        again() { test "$(docker inspect --format '{{.RestartCount}}' $(container))" = 1; }
        await 300 again; await_ready
        another 'after a kill'
        api PATCH /v1/server '{"lease": 21, "grace": 24}' > /dev/null; await_ready
        another 'after other settings'
        touch /run/lock.stop; wait $holder || { cat /run/lock.out; exit 1; }
        test "$(cat /srv/source/locked)" = 'still mine'
        another 'when it is let go'
        rm /mnt/v3/locked; umount /mnt/v3
        """,
        timeout=1700,
    )
    none, low_ports = f"{0:016x}", f"{1 << 10:016x}"
    assert re.search(rf"^rpcbind has [1-9]\d* {none} ", said, re.MULTILINE), said
    assert re.search(rf"^rpc.statd has [1-9]\d* {low_ports} {none}$", said, re.MULTILINE), said
    assert re.findall(r"^another client is (.*)$", said, re.MULTILINE) == [
        "refused before", "refused in a container made anew", "refused after a kill", "refused after other settings",
        "free when it is let go",
    ], said
