"""The container is restarted and killed under a client's load: it dies at once, and afterwards the client goes on."""

import re
from collections.abc import Callable

import pytest

from tests.vm.conftest import Client
from tests.vm.holding import check_held

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(1800),
]

_ROUND_SECONDS = 600
_BEGIN = """
. $FILES/reclaim.sh
trap no_second_client EXIT
hold; storm storm-container; take
"""
_END = """
still_held; let_go
finish storm-container; hold_no_more
"""


def _pauses(said: str) -> str:
    """Return for how long a client had no service."""
    found = re.findall(r"^paused ([0-9.]+) s$", said, re.MULTILINE)
    return f"a client that writes all the time had to wait {', '.join(found) or 'less than 1'} s"


def test_a_restart_is_seen_as_a_pause(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run(
        f"""
        {_BEGIN}
        docker restart $(container); await_ready
        {_END}
        """,
        timeout=1500,
    )
    record_property("restart", f"docker restart: {_pauses(said)}")
    check_held(said, looks=2)
    assert re.search(r"[1-9]\d* lines", said)
    assert re.search(r"[1-9]\d* operations", said)


@pytest.mark.rounds(2)
def test_kills_are_seen_as_pauses(client: Client, rounds: int, record_property: Callable[[str, object], None]) -> None:
    """The deadlock that this is about lasts until the next boot; how long the rest takes is the machine's business."""
    said = client.run(
        f"""
        . $FILES/reclaim.sh
        trap no_second_client EXIT
        hold
        take
        . $FILES/kill_container.sh {rounds}
        still_held
        let_go
        hold_no_more
        """,
        timeout=rounds * _ROUND_SECONDS,
    )
    check_held(said, looks=2)
    kills = re.findall(r"^round .* dead after \d+ ms$", said, re.MULTILINE)
    assert len(kills) == rounds, said
    assert re.search(r"^[1-9]\d* rounds of 48 programs$", said, re.MULTILINE), said
    assert re.search(r"[1-9]\d* lines", said)
    record_property("kill", f"docker kill: {_pauses(said)}\n" + "\n".join(kills))


def test_a_newer_image_is_seen_as_a_pause(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run(
        f"""
        printf 'FROM holdfast:latest\\nLABEL newer=yes\\n' | docker build --quiet --tag holdfast:newer -
        old=$(docker image inspect --format '{{{{.Id}}}}' holdfast:latest)
        {_BEGIN}
        back() {{ docker tag "$old" holdfast:latest; no_second_client; }}
        trap back EXIT
        docker tag holdfast:newer holdfast:latest
        compose up --detach --no-build; await_ready
        docker inspect --format '{{{{.Config.Labels.newer}}}}' $(container)
        {_END}
        """,
        timeout=1100,
    )
    assert "\nyes\n" in said
    check_held(said, looks=2)
    record_property("image", f"a newer image: {_pauses(said)}")
    assert re.search(r"[1-9]\d* lines", said)
    assert re.search(r"[1-9]\d* operations", said)


def test_the_kernel_s_own_killer_is_survived(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run(
        f"""
        {_BEGIN}
        killed() {{  # PID: the kernel's killer takes the one that it is told to take first
            echo 1000 > /proc/$1/oom_score_adj
            echo f > /proc/sysrq-trigger
            await 600 test ! -e /proc/$1
        }}
        restarts() {{ docker inspect --format '{{{{.RestartCount}}}} {{{{.State.Status}}}}' $(container); }}
        before=$(restarts)
        for name in holdfast-worker holdfast-pool holdfast; do
            killed $(pgrep -x $name | head -n 1); echo "the kernel killed $name"
            sleep 1; await_ready
        done
        test "$(restarts)" = "$before"
        killed $(docker inspect --format '{{{{.State.Pid}}}}' $(container)); echo "the kernel killed process 1"
        restarted() {{ test "$(restarts)" = "$((${{before% *}} + 1)) running"; }}
        await 300 restarted; await_ready
        {_END}
        """,
        timeout=1500,
    )
    assert said.count("the kernel killed") == 4
    check_held(said, looks=2)
    record_property("oom", f"worker, pool, supervisor and process 1 killed for want of memory: {_pauses(said)}")
    assert re.search(r"[1-9]\d* operations", said)


def test_a_stopped_container_leaves_nothing_behind(client: Client) -> None:
    said = client.run(
        """
        docker stop --time 60 $(container)
        docker inspect --format '{{.State.ExitCode}}' $(container)
        . $FILES/nothing_is_left.sh
        await 300 nothing_is_left
        docker start $(container); await_ready
        ls /mnt/share
        """,
        timeout=1100,
    )
    assert "\n0\n" in said
