"""The container is restarted and killed under a client's load: it dies at once, and afterwards the client goes on."""

import re
from collections.abc import Callable

import pytest

from tests.vm.conftest import Client

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(1800),
]

_ROUND_SECONDS = 600
_HOLD = """
rm -f /mnt/share/held; python3 $FILES/hold.py /mnt/share/held > /run/held.out 2>&1 & held=$!
python3 $FILES/storm.py /mnt/share/storm-container {seconds} > /run/storm.out 2>&1 & storm=$!
sleep 4
"""

_LET_GO = """
wait $storm || { cat /run/storm.out; exit 1; }
touch /run/held.stop; wait $held || { cat /run/held.out; exit 1; }
cat /run/held.out /run/storm.out
rm /mnt/share/held
"""


def _pauses(said: str) -> str:
    """Return for how long a client had no service."""
    found = re.findall(r"^paused ([0-9.]+) s$", said, re.MULTILINE)
    return f"a client that writes all the time had to wait {', '.join(found) or 'less than 1'} s"


def test_a_restart_is_seen_as_a_pause(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run(
        _HOLD.format(seconds=20)
        + """
        . $FILES/reclaim.sh
        trap no_second_client EXIT
        take
        docker restart $(container)
        await 900 ready
        still_held
        let_go
        """
        + _LET_GO,
        timeout=1500,
    )
    record_property("restart", f"docker restart: {_pauses(said)}")
    assert said.count("held: ") == 2, said
    assert re.search(r"\d+ lines", said)
    assert re.search(r"\d+ operations", said)


@pytest.mark.rounds(3)
def test_kills_are_seen_as_pauses(client: Client, rounds: int, record_property: Callable[[str, object], None]) -> None:
    """The deadlock that this is about lasts until the next boot; how long the rest takes is the machine's business."""
    said = client.run(
        f"""
        . $FILES/reclaim.sh
        trap no_second_client EXIT
        rm -f /mnt/share/held; python3 $FILES/hold.py /mnt/share/held > /run/held.out 2>&1 & held=$!
        take
        . $FILES/kill_container.sh {rounds}
        still_held
        let_go
        touch /run/held.stop; wait $held || {{ cat /run/held.out; exit 1; }}
        cat /run/held.out; rm /mnt/share/held
        """,
        timeout=rounds * _ROUND_SECONDS,
    )
    kills = re.findall(r"^round .* dead after \d+ ms$", said, re.MULTILINE)
    assert len(kills) == rounds, said
    assert re.search(r"^[1-9]\d* rounds of 48 programs$", said, re.MULTILINE), said
    assert re.search(r"\d+ lines", said)
    record_property("kill", f"docker kill: {_pauses(said)}\n" + "\n".join(kills))


def test_a_newer_image_is_seen_as_a_pause(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run(
        """
        printf 'FROM holdfast:latest\nLABEL newer=yes\n' | docker build --quiet --tag holdfast:newer -
        old=$(docker image inspect --format '{{.Id}}' holdfast:latest)
        back() { docker tag "$old" holdfast:latest; }
        trap back EXIT
        """
        + _HOLD.format(seconds=25)
        + """
        docker tag holdfast:newer holdfast:latest
        compose up --detach --no-build; await 600 ready
        docker inspect --format '{{.Config.Labels.newer}}' $(container)
        """
        + _LET_GO,
        timeout=1100,
    )
    assert "\nyes\n" in said
    record_property("image", f"a newer image: {_pauses(said)}")
    assert re.search(r"\d+ lines", said)
    assert re.search(r"\d+ operations", said)


def test_the_kernel_s_own_killer_is_survived(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run(
        _HOLD.format(seconds=20)
        + """
        for name in holdfast-worker holdfast-pool holdfast; do
            victim=$(pgrep -x $name | head -n 1)
            echo 1000 > /proc/$victim/oom_score_adj
            echo f > /proc/sysrq-trigger
            await 600 test ! -e /proc/$victim; echo "the kernel killed $name"
            sleep 1; await 600 ready
        done
        test "$(docker inspect --format '{{.RestartCount}} {{.State.Status}}' $(container))" = '0 running'
        """
        + _LET_GO,
        timeout=1100,
    )
    assert said.count("the kernel killed") == 3
    record_property("oom", f"worker, pool and supervisor killed for want of memory: {_pauses(said)}")
    assert re.search(r"\d+ operations", said)


def test_a_stopped_container_leaves_nothing_behind(client: Client) -> None:
    said = client.run(
        """
        docker stop --time 60 $(container)
        docker inspect --format '{{.State.ExitCode}}' $(container)
        . $FILES/nothing_is_left.sh
        await 60 nothing_is_left
        docker start $(container); await 600 ready
        ls /mnt/share
        """,
        timeout=1100,
    )
    assert "\n0\n" in said
