"""A host whose kernel does not load modules by itself: what is missing is said, and the opt-in loads them."""

from __future__ import annotations

import re

import pytest

from deploy.paths import CHECKOUT
from tests.vm.conftest import Client
from tests.vm.rights import BESIDE, endings

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

_ADDITIONS = CHECKOUT / "deploy/compose.modules.yaml"
_SYS_MODULE = 16

# The container stops, and with it the last who uses the module; an empty kernel.modprobe is a kernel that loads none.
_SCRIPT = BESIDE + """
usual=$(cat /proc/sys/kernel/modprobe)
back() {
    echo "$usual" > /proc/sys/kernel/modprobe
    compose up --detach --no-build --force-recreate; await_ready
}
trap back EXIT
hold
compose stop
await 120 modprobe --remove nfsd
echo > /proc/sys/kernel/modprobe

beside usual nothing
beside unable nothing --env HOLDFAST_LOAD_MODULES=true
beside nowhere nothing --env HOLDFAST_LOAD_MODULES=true --cap-add SYS_MODULE
fails grep '^nfsd ' /proc/modules

compose --file /root/holdfast/modules.yaml up --detach --no-build; await_ready
grep '^nfsd ' /proc/modules
hold_no_more
for pid in $(docker top $(container) -eo pid | tail -n +2); do
    awk '/^(Name|CapPrm):/ { printf "%s ", $2 } END { print "" }' /proc/$pid/status 2> /dev/null || true
done
"""


def test_modules_are_loaded_only_if_that_is_wanted(client: Client) -> None:
    client.channel.execute(("tee", "/root/holdfast/modules.yaml"), _ADDITIONS.read_bytes())
    said = client.run(_SCRIPT, 1500)
    ends = endings(said)
    assert "status 69" in ends["usual"], said
    assert "no NFS server" in ends["usual"], said
    assert "status 77" in ends["unable"], said
    assert "lacks CAP_SYS_MODULE, which loading nfsd needs" in ends["unable"], said
    assert "status 69" in ends["nowhere"], said
    assert "there is no /lib/modules/" in ends["nowhere"], said
    assert re.search(r"^nfsd \d+", said, re.MULTILINE), said
    assert re.search(r"^\d+ lines$", said, re.MULTILINE), said
    # Nobody has the right to do that again.
    processes = re.findall(r"^(\S+) ([0-9a-f]{16}) $", said, re.MULTILINE)
    assert {"holdfast-first", "holdfast"} <= dict(processes).keys(), said
    assert not [name for name, permitted in processes if int(permitted, 16) >> _SYS_MODULE & 1], said
