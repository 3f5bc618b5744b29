"""One virtual machine for all tests of this tier: the appliance is up, its share mounted by an NFSv4.2 client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.vm.appliance import lab
from deploy.vm.channel import Channel
from deploy.vm.preload import ImageDisks

INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True)
class Client:
    """The machine as an NFS client and as the host of the container; scripts find `inside` at $FILES."""

    channel: Channel
    disks: ImageDisks  # from which the machine was booted, for others beside it

    def run(self, script: str, timeout: float = 600, *, mounted: bool = True) -> str:
        """Run a script, which must end with status 0 within so many seconds, and return what it printed.

        It is not begun if the share is not mounted, unless told so: all else would follow from that.
        """
        check = MOUNTED if mounted else ""
        result = self.channel.run(f"#!/bin/bash\nset -euo pipefail\n{check}{PRELUDE}\n{script}", timeout)
        assert result.status == 0, f"status {result.status}:\n{result.stdout}"
        return result.stdout


MOUNTED = "findmnt --types nfs4 /mnt/share > /dev/null || { echo 'the share is not mounted'; exit 1; }\n"
# What the scripts have in common. `api METHOD PATH [JSON]` fails on any status that is not 2xx.
PRELUDE = """
compose() { HOLDFAST_API_BIND=${HOLDFAST_URL#http://} docker compose --file /root/holdfast/compose.yaml "$@"; }
container() { compose ps --all --quiet holdfast; }
api() {
    curl --silent --show-error --fail-with-body --max-time 180 --request "$1" "$HOLDFAST_URL$2" \
        --header "Authorization: Bearer $HOLDFAST_TOKEN" ${3:+--json "$3"}
}
await() {  # SECONDS COMMAND...: until the command succeeds
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "gave up waiting for: $*"; return 1; }
        sleep 0.2
    done
}
ready() { curl --silent --fail --max-time 10 "$HOLDFAST_URL/readyz"; }
await_ready() { await 900 ready; }
fails() {  # COMMAND...: succeeds if the command does not, which ! does not do under set -e
    if "$@"; then echo "this should have failed: $*"; return 1; fi
}
. $FILES/load.sh
"""


_ROUND_SECONDS = 300


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if rounds := config.getoption("--rounds"):
        for item in items:
            if item.get_closest_marker("rounds"):
                item.add_marker(pytest.mark.timeout((rounds + 2) * _ROUND_SECONDS), append=False)


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often the test is to do what it does."""
    marked: int = request.node.get_closest_marker("rounds").args[0]
    return request.config.getoption("--rounds") or marked


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """The machine."""
    with lab(INSIDE) as machine:
        yield Client(machine.vm.channel, machine.disks)
