"""The container has the rights that it needs and no other: what is missing is named, what is there is used."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest

from appliance.fuse.worker import CAPABILITIES as WORKER
from appliance.supervisor.privileges import CAPABILITIES
from deploy.paths import CHECKOUT
from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Removal:
    """A line of compose.yaml that is taken out, and what the container says then."""

    line: str
    status: int
    says: str


_REMOVALS = {
    "capability": Removal("- SYS_ADMIN", 77, "--cap-add SYS_ADMIN"),
    "fuse": Removal("- /dev/fuse", 72, "--device /dev/fuse"),
    "apparmor": Removal("- apparmor:unconfined", 71, "--security-opt apparmor=unconfined"),
    "run": Removal("- /run:", 71, "--tmpfs /run"),
    "exports": Removal("- /etc/exports.d:", 71, "--tmpfs /etc/exports.d"),
    "nfs.conf": Removal("- /etc/nfs.conf.d:", 71, "--tmpfs /etc/nfs.conf.d"),
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


def without(compose: str, removal: Removal) -> str:
    """Return the compose file without the line, and without a network, which takes long to make and is not needed."""
    lines = compose.splitlines(keepends=True)
    kept = [line for line in lines if not line.strip().startswith(removal.line.strip())]
    assert len(kept) == len(lines) - 1, removal.line
    return re.sub(r"    ports:\n(      .*\n)+", "    network_mode: none\n", "".join(kept))


@pytest.fixture(scope="module")
def refusals(client: Client) -> dict[str, tuple[int, str]]:
    """The exit status and the last log line of each container that lacks something; two are tried at a time."""
    compose = (CHECKOUT / "compose.yaml").read_text()
    client.run("rm -rf /root/refused; mkdir /root/refused")
    for name, removal in _REMOVALS.items():
        client.channel.execute(("tee", f"/root/refused/{name}.yaml"), without(compose, removal).encode())
    said = client.run(
        f"""
        docker info --format '{{{{.SecurityOptions}}}}' | grep -q apparmor
        try() {{
            file=/root/refused/$1.yaml; status=0
            timeout 400 docker compose --project-name refused --file $file run --rm -T holdfast \\
                > $file.log 2>&1 < /dev/null || status=$?
            echo "$1 $status $(grep "cannot run" $file.log || tail -n 3 $file.log | tr "\\n" " ")"
        }}
        export -f try
        trap 'docker compose --project-name refused --file /root/refused/fuse.yaml down --volumes > /dev/null 2>&1' EXIT
        printf '%s\\n' {" ".join(_REMOVALS)} | xargs -P 2 -I {{}} bash -c 'try "$1"' - {{}}
        """,
        timeout=1200,
    )
    found = re.findall(r"^(\S+) (\d+) (.*)$", said, re.MULTILINE)
    return {name: (int(status), line) for name, status, line in found}


def test_each_missing_capability_is_named(client: Client) -> None:
    client.channel.execute(("tee", "/root/each.py"), _EACH.encode())
    said = client.run("docker exec --interactive $(container) python - < /root/each.py")
    found = {line.split()[0]: line for line in said.splitlines() if line.startswith("CAP_")}
    assert set(found) == set(CAPABILITIES), said
    for name, line in found.items():
        assert line.startswith(f"{name} 77 the container lacks {name}, which"), line
        assert f"--cap-add {name.removeprefix('CAP_')})" in line


@pytest.mark.parametrize("name", _REMOVALS)
def test_what_is_missing_is_named(refusals: dict[str, tuple[int, str]], name: str) -> None:
    status, line = refusals[name]
    removal = _REMOVALS[name]
    assert removal.says in line, line
    assert status == removal.status, line


# Prints a line of JSON for each process of the container: name, user, and its sets of capabilities as numbers.
_PROCESSES = """
for pid in $(docker top $(container) -eo pid | tail -n +2); do
    awk -v name="$(tr '\\0' ' ' < /proc/$pid/cmdline | cut -c1-80 | tr -d '\\n"')" '
        /^(Name|Uid|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):/ { found[$1] = $2 }
        END { printf "{\\"line\\": \\"%s\\"", name
              for (key in found) printf ", \\"%s\\": \\"%s\\"", substr(key, 1, length(key) - 1), found[key]; print "}" }
    ' /proc/$pid/status
done
"""
def test_each_process_has_only_what_it_uses(client: Client) -> None:
    processes = [json.loads(line) for line in client.run(_PROCESSES).splitlines() if line.startswith("{")]
    given = {bit for bit, _ in CAPABILITIES.values()}
    for process in processes:
        assert process["NoNewPrivs"] == "1", process
        assert process["Seccomp"] == "2", process
        assert _bits(process["CapBnd"]) <= given, process
    api = [process for process in processes if "-m api" in process["line"]]
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
        pid=$(docker inspect --format '{{.State.Pid}}' $(container))
        api=$(pgrep -f -- '-m api --fd')
        # As the API's process is: its user, groups, capabilities, mounts.
        as_api() {
            nsenter --target $api --mount --setuid $(awk '/^Uid/{print $2}' /proc/$api/status) \\
                --setgid $(awk '/^Gid/{print $2}' /proc/$api/status) -- \\
                setpriv --bounding-set=-all --no-new-privs -- "$@"
        }
        refused() { if as_api "$@" > /dev/null; then echo "allowed: $*"; return 1; fi; }
        as_api head -c 8 /var/lib/holdfast/api-token > /dev/null
        echo 'its own token is read'
        for file in holdfast.db holdfast.copy nfs/nfsdcld/main.sqlite; do
            test -e /proc/$pid/root/var/lib/holdfast/$file
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


def test_the_root_filesystem_is_read_only(client: Client) -> None:
    said = client.run("! docker exec $(container) touch /opt/holdfast/made /usr/bin/made /etc/made /made 2>&1")
    assert said.count("Read-only file system") == 4
