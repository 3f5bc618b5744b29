"""rpc.mountd or nfsdcld dies alone: the next one answers what the kernel asks, and knows who may reclaim."""

from __future__ import annotations

import re

import pytest

from tests.vm.conftest import Client
from tests.vm.holding import check_held

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]


def test_mountd_may_die(client: Client) -> None:
    said = client.run(
        """
        . $FILES/deaths.sh; . $FILES/second_client.sh
        trap no_second_client EXIT
        hold; storm storm-mountd
        replaced -x rpc.mountd; echo 'another rpc.mountd'
        docker exec $(container) exportfs -f  # what the kernel was told by the one before is forgotten
        second_client
        echo new > /mnt/second/new; test "$(cat /srv/source/new)" = new; rm /mnt/second/new
        finish storm-mountd; hold_no_more
        """,
        timeout=900,
    )
    assert "another rpc.mountd" in said, said
    assert re.search(r"^[1-9]\d* operations$", said, re.MULTILINE), said
    assert re.search(r"^[1-9]\d* lines$", said, re.MULTILINE), said


def test_nfsdcld_may_die(client: Client) -> None:
    """The client's session is ended in between, so that the record by which it may reclaim is made by the next one."""
    said = client.run(
        """
        . $FILES/deaths.sh; . $FILES/reclaim.sh
        trap no_second_client EXIT
        replaced -x nfsdcld; echo 'another nfsdcld'
        await_ready
        numbers() { api GET /v1/clients | grep --only-matching '"number":[0-9]*' | cut -d : -f 2 | sort; }
        before=$(numbers)
        for number in $before; do api DELETE /v1/clients/$number || true; done
        hold; take
        test -z "$(comm -12 <(numbers) - <<< "$before")"; echo 'clients are others'
        docker restart $(container); await_ready
        still_held; let_go
        hold_no_more
        """,
        timeout=900,
    )
    assert "another nfsdcld" in said, said
    assert "clients are others" in said, said
    check_held(said, looks=2)
    assert re.search(r"^[1-9]\d* lines$", said, re.MULTILINE), said
