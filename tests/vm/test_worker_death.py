"""FUSE workers are killed in the middle of a client's work, and the client sees nothing."""

import re

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]


def test_a_large_write_goes_on(client: Client) -> None:
    said = client.run(
        """
        head -c 60M /dev/urandom > /root/large
        strike 0.5
        until struck 4; do
            dd if=/root/large of=/mnt/share/large bs=1M conv=fsync status=none
        done
        finish strikes
        echo 3 > /proc/sys/vm/drop_caches
        cmp /root/large /mnt/share/large
        cmp /root/large /srv/source/large
        rm /mnt/share/large /root/large
        """,
        timeout=800,
    )
    assert re.search(r"[1-9]\d* killed", said), said


def test_a_metadata_storm_goes_on(client: Client) -> None:
    said = client.run(
        """
        storm storm-1; storm storm-2
        strike 0.5
        await 600 struck 10
        finish strikes storm-1 storm-2
        """,
        timeout=800,
    )
    assert len(re.findall(r"[1-9]\d* operations", said)) == 2, said


def test_the_pool_process_may_die_as_well(client: Client) -> None:
    said = client.run(
        """
        storm storm-pool
        for kill in 1 2 3; do
            await 180 pgrep -x holdfast-pool
            kill -9 $(pgrep -x holdfast-pool | shuf -n 1)
            echo struck
            echo $kill > /mnt/share/served; test "$(cat /srv/source/served)" = $kill
        done
        finish storm-pool; rm /mnt/share/served
        """,
        timeout=800,
    )
    assert said.count("struck") == 3
    assert re.search(r"[1-9]\d* operations", said), said
