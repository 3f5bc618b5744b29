"""NFSv3, when a setting turns it on: with rpcbind and rpc.statd, and file handles that outlive a restart as well."""

import pytest

from tests.vm.conftest import Client

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(1800),
]


def test_a_v3_client_works_and_survives_worker_deaths_and_a_restart(client: Client) -> None:
    client.run(
        """
        server=$(findmnt -no SOURCE /mnt/share)
        umount /mnt/share
        echo HOLDFAST_NFS_V3=true > /root/holdfast/holdfast.env
        back() {
            umount -f /mnt/v3 2>/dev/null || true
            rm -f /root/holdfast/holdfast.env; compose up --detach --no-build; await_ready
            mount -t nfs4 -o vers=4.2 "$server" /mnt/share
        }
        trap back EXIT
        compose up --detach --no-build; await_ready
        address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $(container))
        mkdir -p /mnt/v3; mount -t nfs -o vers=3 $address:/exports/share /mnt/v3
        findmnt -no OPTIONS /mnt/v3 | grep -w vers=3
        noted() { api GET /v1/clients | grep '"path":"/exports/share","share":"share"'; }
        await 120 noted
        storm storm-v3 /mnt/v3
        strike 1; await 300 struck 5
        finish strikes storm-v3
        exec 9<> /mnt/v3/locked; flock --exclusive 9; echo locked >&9
        docker restart $(container); await_ready
        echo again >&9; exec 9>&-
        test "$(tr '\\n' ' ' < /srv/source/locked)" = 'locked again '
        rm /mnt/v3/locked; umount /mnt/v3
        """,
        timeout=1700,
    )
