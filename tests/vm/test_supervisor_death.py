"""The supervisor or the API is killed under a client's load: all else goes on, and a successor takes over."""

import re

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def test_the_supervisor_may_die(client: Client) -> None:
    said = client.run(
        """
        pids() { docker exec $(container) pgrep "$@" | sort | tr '\\n' ' '; }
        served() { test "$(pids -x holdfast-worker | wc -w)" -ge 2; }  # another test may have killed them just now
        await 300 served; await_ready
        before=$(pids -x 'holdfast-(pool|worker)')
        restarts() { docker inspect --format '{{.RestartCount}} {{.State.Status}}' $(container); }
        unharmed=$(restarts)
        hold; storm storm-supervisor
        for round in 1 2 3; do
            sleep 3
            old=$(pids -x holdfast)
            docker exec $(container) kill -9 $old
            successor() { test -n "$(pids -x holdfast)" && test "$(pids -x holdfast)" != "$old"; }
            await 300 successor
            await_ready
            echo "adopted by $(pids -x holdfast)"
        done
        finish storm-supervisor; hold_no_more
        # Beside them there may be more for a while: a request that takes long has another worker started.
        for pid in $before; do grep --quiet --word-regexp $pid <<< "$(pids -x 'holdfast-(pool|worker)')"; done
        test "$(restarts)" = "$unharmed"
        echo served by the same processes
        # The successor rules as its predecessor did: it repairs and changes.
        docker exec $(container) pkill -9 -x holdfast-pool; await_ready
        api PATCH /v1/shares/share '{"workers": 3}' > /dev/null
        three() { test "$(pids -x holdfast-worker | wc -w)" = 3; }
        await 300 three
        api PATCH /v1/shares/share '{"workers": 2}' > /dev/null
        echo still > /mnt/share/still; test "$(cat /srv/source/still)" = still; rm /mnt/share/still
        """,
        timeout=1500,
    )
    assert len(re.findall(r"adopted by \d+", said)) == 3
    assert "served by the same processes" in said
    assert re.search(r"[1-9]\d* operations", said)


def test_the_api_may_die(client: Client) -> None:
    """Nothing but HTTP is affected."""
    said = client.run(
        """
        . $FILES/deaths.sh
        served() { test "$(pids -x holdfast-worker | wc -w)" -ge 2; }
        await 300 served; await_ready
        others=$(pids -x holdfast-worker) before=$(life)
        # A process that another has just forked bears its name for a moment.
        for name in holdfast holdfast-pool rpc.mountd nfsdcld; do others+=$(pids --oldest -x $name); done
        hold; storm storm-api
        replaced -f 'python -m api --fd'; echo 'another API'
        await_ready
        run_on $others
        test "$(life)" = "$before"
        echo "the same as before: $others"
        finish storm-api; hold_no_more
        """,
        timeout=1100,
    )
    assert "another API" in said, said
    assert len(re.findall(r"\d+", re.findall(r"^the same as before: (.*)$", said, re.MULTILINE)[0])) >= 6, said
    assert re.search(r"^[1-9]\d* operations$", said, re.MULTILINE), said
    assert re.search(r"^[1-9]\d* lines$", said, re.MULTILINE), said
