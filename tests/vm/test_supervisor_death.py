"""The supervisor is killed under a client's load: mounts, workers and exports go on, and its successor takes over."""

import re

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]


def test_the_supervisor_may_die(client: Client) -> None:
    said = client.run(
        """
        pids() { docker exec $(container) pgrep "$@" | sort | tr '\\n' ' '; }
        before=$(pids -x 'holdfast-(pool|worker)')
        python3 $FILES/hold.py /mnt/share/held > /run/held.out 2>&1 & held=$!
        python3 $FILES/storm.py /mnt/share/storm-supervisor 40 > /run/storm.out 2>&1 & storm=$!
        for round in 1 2 3; do
            sleep 3
            old=$(pids -x holdfast)
            docker exec $(container) kill -9 $old
            successor() { test -n "$(pids -x holdfast)" && test "$(pids -x holdfast)" != "$old"; }
            await 180 successor
            await 180 ready
            echo "adopted by $(pids -x holdfast)"
        done
        wait $storm || { cat /run/storm.out; exit 1; }
        touch /run/held.stop; wait $held || { cat /run/held.out; exit 1; }
        cat /run/held.out /run/storm.out; rm /mnt/share/held
        test "$before" = "$(pids -x 'holdfast-(pool|worker)')"
        test "$(docker inspect --format '{{.RestartCount}} {{.State.Status}}' $(container))" = '0 running'
        echo served by the same processes
        # The successor rules as its predecessor did: it repairs and changes.
        docker exec $(container) pkill -9 -x holdfast-pool; await 180 ready
        api PATCH /v1/shares/share '{"workers": 3}' > /dev/null
        three() { test "$(pids -x holdfast-worker | wc -w)" = 3; }
        await 180 three
        api PATCH /v1/shares/share '{"workers": 2}' > /dev/null
        echo still > /mnt/share/still; test "$(cat /srv/source/still)" = still; rm /mnt/share/still
        """,
        timeout=400,
    )
    assert len(re.findall(r"adopted by \d+", said)) == 3
    assert "served by the same processes" in said
    assert re.search(r"\d+ operations", said)


def test_the_api_may_die(client: Client) -> None:
    client.run(
        """
        docker exec $(container) pkill -9 -f 'python -m api'
        await 180 ready
        echo on > /mnt/share/on; test "$(cat /srv/source/on)" = on; rm /mnt/share/on
        """
    )
