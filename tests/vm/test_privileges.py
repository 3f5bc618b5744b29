"""The container has the rights that it needs and no other: what is missing is named, what is there is used."""

from __future__ import annotations

import json
import shlex

import pytest

from appliance.fuse.worker import CAPABILITIES as WORKER
from appliance.supervisor.privileges import CAPABILITIES
from tests.vm.conftest import Client
from tests.vm.rights import BESIDE, endings

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

# Everything beside capabilities that compose.yaml gives; without it the status and what is said.
_MISSING: dict[str, tuple[int, tuple[str, ...]]] = {
    "apparmor": (71, ("mount-forbidden", "apparmor=unconfined")),  # Docker's profile forbids mounts
    "/dev/fuse": (72, ("no-fuse", "--device /dev/fuse")),
    "/run": (71, ("not-writable", "--tmpfs /run")),
    "/etc/exports.d": (71, ("not-writable", "--tmpfs /etc/exports.d")),
    "/etc/nfs.conf.d": (71, ("not-writable", "--tmpfs /etc/nfs.conf.d")),
    "state": (73, ("/var/lib/holdfast",)),
    "/srv": (1, ("the source /srv/source does not exist",)),
}

# In the running container, with its rights: a process for each capability that has all but that one.
_EACH = """
import os
from pathlib import Path
from appliance.errors import HoldfastError
from appliance.linux import process
from appliance.supervisor.privileges import CAPABILITIES, check_capabilities
given = frozenset(bit for bit, _ in CAPABILITIES.values())
for name, (bit, _) in CAPABILITIES.items():
    if os.fork() == 0:
        process.keep_capabilities(given - {bit})
        try:
            check_capabilities(Path("/proc/self/status").read_text())
        except HoldfastError as error:
            print(name, error.exit_code, error, flush=True)
        os._exit(0)
    os.wait()
"""


def test_each_missing_capability_is_named(client: Client) -> None:
    client.channel.execute(("tee", "/root/each.py"), _EACH.encode())
    said = client.run("docker exec --interactive $(container) python - < /root/each.py")
    found = {line.split()[0]: line for line in said.splitlines() if line.startswith("CAP_")}
    assert set(found) == set(CAPABILITIES), said
    for name, line in found.items():
        assert line.startswith(f"{name} 77 the container lacks {name}, which"), line
        assert f"--cap-add {name.removeprefix('CAP_')})" in line


# Prints a line of JSON for each process of the container: name, user, and its sets of capabilities as numbers.
_PROCESSES = """
for pid in $(docker top $(container) -eo pid | tail -n +2); do
    awk -v name="$(tr '\\0' ' ' 2> /dev/null < /proc/$pid/cmdline | cut -c1-80 | tr -d '\\n"')" '
        /^(Name|Uid|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):/ { found[$1] = $2 }
        END { if (!("Name:" in found)) exit
              printf "{\\"line\\": \\"%s\\"", name
              for (key in found) printf ", \\"%s\\": \\"%s\\"", substr(key, 1, length(key) - 1), found[key]; print "}" }
    ' /proc/$pid/status 2> /dev/null || true  # one that has ended meanwhile
done
"""


def test_each_process_has_only_what_it_uses(client: Client) -> None:
    processes = [json.loads(line) for line in client.run(_PROCESSES).splitlines() if line.startswith("{")]
    given = {bit for bit, _ in CAPABILITIES.values()}
    for process in processes:
        assert process["NoNewPrivs"] == "1", process
        assert process["Seccomp"] == "2", process
        assert _bits(process["CapBnd"]) <= given, process
    api = [process for process in processes if "-m api --fd" in process["line"]]
    workers = [process for process in processes if process["Name"] == "holdfast-worker"]
    assert len(api) == 1, processes
    assert workers, processes
    assert api[0]["Uid"] != "0"
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert _bits(api[0][kind]) == set(), api
    for worker in workers:
        assert _bits(worker["CapEff"]) == WORKER & given, worker


def _bits(sets: str) -> set[int]:
    return {bit for bit in range(64) if int(sets, 16) >> bit & 1}


def test_the_api_s_process_cannot_read_the_state(client: Client) -> None:
    said = client.run(
        """
        as_api() { docker exec --user holdfast-api $(container) "$@"; }
        refused() { if as_api "$@" > /dev/null; then echo "allowed: $*"; return 1; fi; }
        as_api head -c 8 /var/lib/holdfast/api-token > /dev/null
        echo 'its own token is read'
        for file in holdfast.db holdfast.copy nfs/nfsdcld/main.sqlite; do
            docker exec $(container) test -e /var/lib/holdfast/$file
            refused cat /var/lib/holdfast/$file
        done
        for place in /var/lib/holdfast /var/lib/holdfast/tables /run /run/holdfast /exports; do
            refused touch $place/made
        done
        refused ls /var/lib/holdfast
        refused cat /proc/1/environ
        """
    )
    assert "its own token is read" in said
    # Refused for want of rights, each of them, and not because something else went wrong.
    assert said.count("Permission denied") == 10, said


# With all the capabilities of the container: calls, by their numbers on x86_64, and what each answers.
_CALLS = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments):
    status = libc.syscall(number, *arguments)
    print(name, "done" if status >= 0 else errno.errorcode[ctypes.get_errno()])
call("getpid", 39)
call("unshare mounts", 272, 0x20000)
call("unshare the host's name", 272, 0x4000000)
call("unshare users", 272, 0x10000000)
call("clone3", 435, 0, 0)
call("setns", 308, -1, 0)
call("bpf", 321, 99, 0, 0)
call("perf_event_open", 298, 0, 0, -1, -1, 0)
call("keyctl", 250, 0, -3, 0)
call("add_key", 248, 0, 0, 0, 0, 0)
call("io_uring_setup", 425, 1, 0)
call("ptrace", 101, 0, 0, 0, 0)
call("quotactl", 179, 0, 0, 0, 0)
call("finit_module", 313, -1, 0, 0)
for family in ("AF_UNIX", "AF_INET6", "AF_PACKET", "AF_ALG", "AF_VSOCK"):
    try:
        socket.socket(getattr(socket, family), socket.SOCK_SEQPACKET if family == "AF_ALG" else socket.SOCK_STREAM)
        print(family, "done")
    except OSError as error:
        print(family, errno.errorcode[error.errno])
"""


def test_what_the_appliance_does_not_call_is_not_there(client: Client) -> None:
    client.channel.execute(("tee", "/root/calls.py"), _CALLS.encode())
    said = client.run("docker exec --interactive $(container) python - < /root/calls.py")
    answers = dict(line.rsplit(" ", 1) for line in said.splitlines())
    there = {"getpid", "unshare mounts", "unshare the host's name", "AF_UNIX", "AF_INET6"}
    assert {name for name, answer in answers.items() if answer == "done"} == there, said
    assert {answer for name, answer in answers.items() if name not in there} == {"ENOSYS"}, said
    assert len(answers) == len(there) + 14, said


def test_the_root_filesystem_is_read_only(client: Client) -> None:
    said = client.run("! docker exec $(container) touch /opt/holdfast/made /usr/bin/made /etc/made /made 2>&1")
    assert said.count("Read-only file system") == 4


_OPEN = "from pathlib import Path; from appliance.fuse.source import Source; Source.open(Path('/srv/source'))"


def test_each_missing_place_device_and_option_is_named(client: Client) -> None:
    said = client.run(
        BESIDE
        + f"""
        for thing in apparmor $devices $places state; do beside "${{thing%%:*}}" "${{thing%%:*}}"; done
        beside /srv /srv -- python -c {shlex.quote(_OPEN)}
        """,
        timeout=1500,
    )
    ends = endings(said)
    assert set(ends) == set(_MISSING), said
    for thing, (status, words) in _MISSING.items():
        assert f"status {status}" in ends[thing], said
        assert all(word in ends[thing] for word in words), said
