"""FUSE workers are killed in the middle of a client's work, and the client sees nothing."""

import re

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]


def _count(said: str, what: str) -> int:
    found = re.search(rf"(\d+) {what}", said)
    assert found, said
    return int(found[1])


def test_a_large_write_goes_on(client: Client) -> None:
    said = client.run(
        """
        head -c 60M /dev/urandom > /root/large
        $FILES/kill_workers.sh 0.5 > /run/killed & killer=$!
        for round in 1 2 3; do
            dd if=/root/large of=/mnt/share/large bs=1M conv=fsync status=none
        done
        touch /run/calm; wait $killer; cat /run/killed
        echo 3 > /proc/sys/vm/drop_caches
        cmp /root/large /mnt/share/large
        cmp /root/large /srv/source/large
        rm /mnt/share/large /root/large
        """,
        timeout=500,
    )
    assert _count(said, "killed") >= 3


def test_a_metadata_storm_goes_on(client: Client) -> None:
    said = client.run(
        """
        $FILES/kill_workers.sh 0.5 > /run/killed & killer=$!
        python3 $FILES/storm.py /mnt/share/storm-1 45 & one=$!
        python3 $FILES/storm.py /mnt/share/storm-2 45 & two=$!
        wait $one; wait $two
        touch /run/calm; wait $killer; cat /run/killed
        """,
        timeout=400,
    )
    assert _count(said, "killed") >= 10
    assert _count(said, "operations") >= 50


def test_the_pool_process_may_die_as_well(client: Client) -> None:
    said = client.run(
        """
        python3 $FILES/storm.py /mnt/share/storm-pool 30 & storm=$!
        for kill in 1 2 3; do
            sleep 6
            kill -9 $(pgrep -x holdfast-pool | shuf -n 1)
            echo struck
        done
        wait $storm
        """,
        timeout=400,
    )
    assert said.count("struck") == 3
    assert _count(said, "operations") >= 20
