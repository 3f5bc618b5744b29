"""The server's power is cut in the middle of what clients do: what was answered is there, and they go on.

`make endurance` cuts it twenty times in one run. What such a cut loses, and what it does not: tests/vm/second.py.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deploy.console import say
from deploy.rest import Rest
from deploy.vm.appliance import EVERYBODY
from tests.vm.conftest import Client
from tests.vm.second import HOST, second_machine

pytestmark = [pytest.mark.vm, pytest.mark.timeout(2400)]

_FILESYSTEMS = ("ext4", "xfs")
_MOUNTS = tuple(f"/mnt/power-{kind}" for kind in _FILESYSTEMS)
_WAIT_SECONDS = 600
_HANDLES = 54  # of files on each share that are there all the time, most under ever new names
_WORK = ("write", "rename", "untar")  # a program each, on each share
Account = dict[str, Any]


@pytest.mark.rounds(1)
def test_power_is_cut_in_the_middle_of_work(
    client: Client, rounds: int, record_property: Callable[[str, object], None]
) -> None:
    dice = random.Random(rounds)
    interrupted: Counter[str] = Counter()
    with second_machine(client.disks, _FILESYSTEMS) as (server, rest):
        for kind in _FILESYSTEMS:
            rest.create_share({"name": kind, "source": f"/srv/{kind}/shared", "clients": [EVERYBODY]})
        server.channel.execute(("sync",))  # the server's set-up; from here on nothing but answers counts
        with _at_work(client, server.nfs_port):
            _finish(rest, _begin(rest, "passive"))  # which takes the first samples
            _next(client, 1, dice)
            for number in range(1, rounds + 1):
                server.cut_power()
                server.power_on()
                # Docker is still on its way up.
                interrupted.update(account["doing"] for account in _told(client.run(_RUN.format("told"))))
                server.await_ready(rest)
                checks = _begin(rest, "passive")
                _next(client, number + 1, dice)
                _finish(rest, checks)
                say(f"{number} of {rounds} resets")
            _finish(rest, _begin(rest, "evict"))
            found = _told(client.run(_FORGET + _RUN.format(f"ended {_WAIT_SECONDS}"), timeout=_WAIT_SECONDS + 60))
    record_property("power", _summary(found, rounds, interrupted))
    assert interrupted["untar"] > 0


_RUN = "python3 $FILES/power_wait.py {}\n"
# Clean contents, names and inodes, so that what is looked at next is the server's.
_FORGET = "echo 3 > /proc/sys/vm/drop_caches\n"


@contextmanager
def _at_work(client: Client, port: int) -> Iterator[None]:
    mounts = " ".join(_MOUNTS)
    try:
        client.run(
            f"""
            rm -rf /run/power
            for mount in {mounts}; do
                mkdir -p $mount
                mount -t nfs4 -o vers=4.2,port={port} {HOST}:/${{mount#/mnt/power-}} $mount
            done
            python3 $FILES/power.py {mounts}
            """,
            timeout=_WAIT_SECONDS,
        )
        yield
    finally:
        client.run(f"kill -9 $(cat /run/power/*.pid) || true; umount -f -l {mounts} || true", timeout=60, mounted=False)


def _next(client: Client, number: int, dice: random.Random) -> None:
    """Have everything that was answered looked at, and wait until the programs are in the middle of more."""
    compare = "".join(
        f"python3 $FILES/handle.py --compare /run/power/handles-{mount.removeprefix('/mnt/')} {mount}\n"
        for mount in _MOUNTS
    )
    wait = _RUN.format(f"next {number} {dice.randrange(3, 20)} {_WAIT_SECONDS}")
    said = client.run(_FORGET + compare + wait, timeout=2 * _WAIT_SECONDS + 60)
    compared = re.findall(r"^(\d+) the same$", said, re.MULTILINE)
    assert len(compared) == len(_MOUNTS), said
    assert all(int(count) == _HANDLES for count in compared), said


def _told(said: str) -> list[Account]:
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def _begin(rest: Rest, mode: str) -> dict[str, int]:
    """Have the appliance check the handles that it knows, of all shares at once."""
    return {kind: _ask(rest, 202, "POST", f"{kind}/handle-checks", {"mode": mode})["id"] for kind in _FILESYSTEMS}


def _finish(rest: Rest, checks: dict[str, int]) -> None:
    """Wait for checks, which may have found things renamed and removed, but no drift."""
    for kind, number in checks.items():
        deadline = time.monotonic() + _WAIT_SECONDS
        while (report := _ask(rest, 200, "GET", f"{kind}/handle-checks/{number}"))["state"] == "running":
            assert time.monotonic() < deadline, report
            time.sleep(0.5)
        assert report["state"] == "done", str(report)
        counts = {outcome for outcome, count in report["counts"].items() if count}
        assert {"same"} <= counts <= {"same", "moved", "deleted"}, str(report)


def _ask(rest: Rest, expected: int, method: str, place: str, body: Account | None = None) -> Account:
    """Call the API, and again while the appliance makes a check by its own clock."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (answer := rest._call(method, f"/v1/shares/{place}", body))[0] == 409 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert answer[0] == expected, answer
    found: Account = json.loads(answer[1])
    return found


def _summary(found: list[Account], rounds: int, interrupted: Counter[str]) -> str:
    # tar and whole comparisons take long by themselves; of the others each operation is short.
    pauses = sorted(pause for account in found if "untar" not in account["name"] for pause in account["pauses"])
    assert len(pauses) == rounds * 2 * len(_FILESYSTEMS)
    lost = Counter(answer for account in found for answer in account["answers_lost"])
    ended = sum(account["doing"] == "ended" for account in found)
    assert ended == len(_FILESYSTEMS) * len(_WORK)
    return (
        f"{rounds} resets of a server of {' and '.join(_FILESYSTEMS)}, in the middle of {_listed(interrupted)}; "
        f"{sum(account['operations'] for account in found)} operations of {len(found)} programs, "
        f"{sum(account['bytes'] for account in found) / 1e6:.1f} MB; "
        f"{len(found) - ended} saw an error or a wrong byte; "
        f"answers lost: {_listed(lost) or 'none'}; "
        f"paused {pauses[0]:.1f}/{statistics.median(pauses):.1f}/{pauses[-1]:.1f} s (min/median/max)"
    )


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counted.items()))
