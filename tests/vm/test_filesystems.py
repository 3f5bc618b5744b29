"""Shares of ext4, xfs and btrfs through knfsd, at one appliance: made by REST, mounted by an NFS client."""

import re

import pytest

from tests.vm.conftest import Client
from tests.vm.test_copy import COMPARE, MAKE_TREE

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

KINDS = ("ext4", "xfs", "btrfs")

# `share KIND`: a filesystem in a loop image at /srv/KIND, shared, and mounted at /mnt/KIND. All of it goes at the end.
_SHARE = r"""
server=$(findmnt -no SOURCE /mnt/share); server=${server%%:*}
options=vers=4.2,actimeo=0
end() {
    status=$?; set +e; cd /
    for place in /mnt/other /mnt/$kind; do mountpoint --quiet $place && umount $place; done
    api DELETE /v1/shares/$kind
    umount /srv/$kind && rm /root/$kind.img || status=1
    exit $status
}
share() {
    kind=$1
    truncate --size=600M /root/$kind.img
    mkfs.$kind -q /root/$kind.img
    mkdir -p /srv/$kind /mnt/$kind /mnt/other
    mount -o loop /root/$kind.img /srv/$kind
    clients='"clients": [{"network": "0.0.0.0/0", "access": "rw", "squash": "none", "secure_ports": false}]'
    trap end EXIT
    api POST /v1/shares "{\"name\": \"$kind\", \"source\": \"/srv/$kind\", $clients}"
    mount -t nfs4 -o $options $server:/$kind /mnt/$kind
}
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_comes_out_as_it_went_in_while_workers_die(client: Client, kind: str) -> None:
    said = client.run(
        f"""{_SHARE}{MAKE_TREE}{COMPARE}
        share {kind}
        strike 1
        until struck 3; do
            rm -rf /mnt/$kind/tree; cp -a $tree /mnt/$kind/tree
            same $tree /mnt/$kind/tree
        done
        finish strikes
        echo 3 > /proc/sys/vm/drop_caches
        same $tree /mnt/$kind/tree
        same $tree /srv/$kind/tree
        umount /mnt/$kind; mount -t nfs4 -o $options $server:/$kind /mnt/$kind
        same $tree /mnt/$kind/tree
        rm -r /mnt/$kind/tree; test ! -e /srv/$kind/tree
        """,
        timeout=600,
    )
    assert re.search(r"[1-9]\d* killed", said), said


@pytest.mark.parametrize("kind", KINDS)
def test_an_inode_number_that_comes_back_is_not_the_old_file_to_who_holds_its_handle(client: Client, kind: str) -> None:
    said = client.run(
        f"""{_SHARE}
        share {kind}
        mount -t nfs4 -o $options,nosharecache $server:/$kind /mnt/other
        mkdir /mnt/$kind/reused
        python3 $FILES/reused.py /mnt/$kind/reused /mnt/other/reused /srv/$kind/reused
        """,
        timeout=600,
    )
    assert f"{0 if kind == 'btrfs' else 2} times reused" in said


def test_a_source_outside_the_roots_is_refused(client: Client) -> None:
    said = client.run(
        """
        clients='"clients": [{"network": "0.0.0.0/0", "access": "rw"}]'
        api POST /v1/shares "{\\"name\\": \\"own\\", \\"source\\": \\"/usr/share\\", $clients}" || echo refused
        """
    )
    assert "refused" in said
    assert '"code":"source-outside"' in said
    assert '"field":"source"' in said


def test_the_containers_own_filesystem_is_refused_and_a_way_out_told(client: Client) -> None:
    said = client.run(
        """
        compose exec -T holdfast python -m appliance.fuse /usr/share /run/holdfast 2>&1 || echo "status $?"
        """
    )
    assert "status 66" in said, said
    assert "gives no file handles" in said, said
    assert "bind-mount a directory of ext4, xfs or btrfs from the host" in said, said


def test_another_key_ends_all_handles_of_one_share_at_once(client: Client) -> None:
    said = client.run(
        f"""{_SHARE}
        share ext4
        threads=$(pgrep -x nfsd | sort | tr '\\n' ' ')
        started=$(docker inspect --format '{{{{.State.StartedAt}}}}' $(container))
        storm storm-key
        rotate() {{ api POST /v1/shares/ext4/rotate-key; }}
        export -f rotate api; export HOLDFAST_URL HOLDFAST_TOKEN
        python3 $FILES/outdated.py /mnt/ext4 bash -c rotate
        mount -t nfs4 -o $options,nosharecache $server:/ext4 /mnt/other
        test "$(cat /mnt/other/known)" = known
        finish storm-key
        test "$threads" = "$(pgrep -x nfsd | sort | tr '\\n' ' ')"
        test "$started" = "$(docker inspect --format '{{{{.State.StartedAt}}}}' $(container))"
        """,
        timeout=500,
    )
    assert "found anew" in said
    assert re.search(r"[1-9]\d* operations", said), "the other share's client saw nothing of it"
