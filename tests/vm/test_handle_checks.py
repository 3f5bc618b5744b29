"""Handle checks on the real thing: by command line, over NFS, and while clients hold files open."""

from __future__ import annotations

import json
import re

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

_HOLDFAST = """
holdfast() { compose exec -T holdfast holdfast "$@"; }
status() { local s=0; "$@" || s=$?; echo "status $s"; }
# A client gives an open or a delegation back when it likes; with no inode in its cache it has none.
given_back() {
    echo 3 > /proc/sys/vm/drop_caches
    local s=0; holdfast check share --mode remount > /run/remount.out 2>&1 || s=$?
    [ $s -ne 2 ]
}
"""
_TREE = """
mkdir -p /mnt/share/checked/below
for i in $(seq 1 60); do echo $i > /mnt/share/checked/below/$i; done
ln -sf nowhere /mnt/share/checked/symlink; ln -f /mnt/share/checked/below/1 /mnt/share/checked/linked
"""


_MODES = ("passive", "evict", "workers", "nfs")


def test_all_handles_are_good(client: Client) -> None:
    said = client.run(
        f"{_HOLDFAST}{_TREE}" + "".join(f"status holdfast check share --mode {mode}\n" for mode in _MODES), timeout=800
    )
    _all_good(said, _MODES)


def test_all_handles_are_good_after_a_remount(client: Client) -> None:
    said = client.run(f"{_HOLDFAST}{_TREE}await 300 given_back; status cat /run/remount.out", timeout=900)
    _all_good(said, ("remount",))


def _all_good(said: str, modes: tuple[str, ...]) -> None:
    assert said.count("status 0") == len(modes), said
    found = re.findall(r"(\d+) handles checked in .*, mode (\S+)", said)
    assert [mode for _, mode in found] == list(modes), said
    assert all(int(count) >= 30 for count, _ in found), said
    assert re.findall(r"^(?:drift|unanswered)\s+(\d+)$", said, re.MULTILINE) == ["0"] * 2 * len(modes), said


def test_a_remount_is_refused_while_a_client_has_a_file_open(client: Client) -> None:
    said = client.run(
        f"""{_HOLDFAST}{_TREE}
        exec 7> /mnt/share/checked/held
        echo one >&7
        status holdfast check share --mode remount
        status holdfast check nothing
        echo two >&7
        exec 7>&-
        cat /mnt/share/checked/held
        """,
        timeout=900,
    )
    assert "clients hold" in said or "holdfast: NFSv4 clients hold" in said, said
    assert said.count("status 2") == 2, said
    assert said.endswith("one\ntwo\n"), said


def test_a_forced_remount_is_a_pause_for_whoever_works_by_name(client: Client) -> None:
    """What is open may be lost; nobody else is told anything."""
    said = client.run(
        f"""{_HOLDFAST}{_TREE}
        rm -f /run/calm
        work() {{
            local n=0
            until [ -e /run/calm ]; do
                n=$((n + 1))
                echo $n > /mnt/share/checked/worked; [ "$(cat /mnt/share/checked/worked)" = $n ] || echo "wrong at $n"
                mkdir /mnt/share/checked/made; rmdir /mnt/share/checked/made
            done
            echo "worked $n times"
        }}
        work > /run/work.out 2>&1 & worker=$!
        exec 7> /mnt/share/checked/held; echo one >&7
        for time in 1 2 3; do sleep 1; status holdfast check share --mode remount --force; done
        sleep 1; touch /run/calm; wait $worker
        cat /run/work.out
        exec 7>&- || true
        ls /mnt/share/checked > /dev/null
        """,
        timeout=900,
    )
    assert said.count("status 0") == 3, said
    worked = said.splitlines()[-1]
    assert re.fullmatch(r"worked \d+ times", worked), said
    assert int(worked.split()[1]) > 3, said
    assert "error" not in said.lower().replace("status", ""), said
    assert "wrong at" not in said, said


def test_what_a_client_holds_is_decoded(client: Client) -> None:
    said = client.run(
        f"""{_HOLDFAST}{_TREE}
        handle=$(python3 $FILES/handle.py /mnt/share/checked/below/7)
        status holdfast decode $handle
        rm /mnt/share/checked/below/7
        status holdfast decode $handle
        status holdfast decode 01:00:06:81 00112233445566778899aabbccddeeff 0x0102030405060708090a0b0c
        api POST /v1/handles/decode "{{\\"hex\\": \\"$handle\\"}}"
        """,
        timeout=900,
    )
    verdicts = re.findall(r"^verdict\s+(\S+)", said, re.MULTILINE)
    assert verdicts == ["live", "freed-inode", "foreign-fsid"], said
    assert re.findall(r"status (\d)", said) == ["0", "1", "1"], said
    assert re.search(r"^path\s+checked/below/7$", said, re.MULTILINE), said
    assert json.loads(said.splitlines()[-1])["share"] == "share"


def test_the_container_dies_at_once_in_the_middle_of_a_check_over_nfs(client: Client) -> None:
    said = client.run(
        f"""{_HOLDFAST}{_TREE}
        holdfast check share --mode nfs > /run/check.out 2>&1 & check=$!
        await 120 pgrep -x holdfast-check
        SECONDS=0; docker kill $(container); docker wait $(container); echo "died in $SECONDS s"
        docker start $(container); await_ready
        wait $check || true
        api GET /v1/shares/share/handle-checks
        status holdfast check share --mode nfs
        """,
        timeout=900,
    )
    assert re.search(r"died in \d+ s", said), said  # what hangs here does so until the next boot
    assert "status 0" in said, said


def test_numbers_and_events_are_told(client: Client) -> None:
    said = client.run(f"{_HOLDFAST}{_TREE}holdfast check share; api GET /metrics; api GET /v1/events", timeout=900)
    assert re.search(r'^holdfast_handle_check_outcomes\{.*outcome="drift".*\} 0.0$', said, re.MULTILINE), said
    assert 'holdfast_handles_healthy{share="share"} 1.0' in said
    assert "handle-drift" not in said
