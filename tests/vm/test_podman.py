"""The same image under Podman, started by the line that Podman's own generator makes of the Quadlet unit.

systemd is not process 1 of this machine, so the line is run by hand, as systemd would run it; what it says of systemd
itself is left out. Docker's appliance goes on beside it, in a network namespace of its own; this one is in the host's,
on other ports.
"""

from __future__ import annotations

import re

import pytest

from deploy.paths import CHECKOUT
from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

_FILES = {
    "/etc/containers/systemd/holdfast.container": "deploy/podman/holdfast.container",
    "/etc/containers/holdfast-seccomp.json": "deploy/seccomp.json",
}
# What Podman would leave to systemd: control groups and the journal.
_CONFIGURATION = b"""[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
"""

_PREPARE = """
generated=$(/usr/libexec/podman/quadlet -dryrun 2> /dev/null | sed -n 's/^ExecStart=//p')
# The container stays when it stops, so that it can be started again without systemd.
line=$(sed 's/ --cgroups=split//; s/ --sdnotify=[a-z]*//; s/ --rm//; s#%t/%N#/run/holdfast#
            s/ localhost/ --env HOLDFAST_NFS_PORT=12049 --env HOLDFAST_API_PORT=18080&/' <<< "$generated")
echo "$line"
docker save holdfast:latest | podman load --quiet
podman tag "$(podman images --quiet | head -n 1)" localhost/holdfast:latest
mkdir -p /srv/podman /mnt/podman /etc/holdfast
"""

# All there is of an appliance on this machine, Docker's among it: the same numbers before and after.
_COUNT = """
mountpoint --quiet /sys/fs/fuse/connections || mount -t fusectl fusectl /sys/fs/fuse/connections
count() {
    echo "$(pgrep -c -x 'holdfast-first|nfsdcld|rpc.mountd') $(findmnt --noheadings -t fuse.holdfast | wc -l)" \\
        "$(ls /sys/fs/fuse/connections | wc -l)"
}
"""

_LIFE = """
there() { curl --silent --fail --max-time 10 http://127.0.0.1:18080/readyz; }
of_podman() { HOLDFAST_URL=http://127.0.0.1:18080 HOLDFAST_TOKEN=$token api "$@"; }
before=$(count)
eval "$line" > /dev/null
await 600 there
token=$(podman exec holdfast cat /var/lib/holdfast/api-token)
of_podman POST /v1/shares '{"name": "podman", "source": "/srv/podman", "clients": [
    {"network": "0.0.0.0/0", "access": "rw", "squash": "none", "secure_ports": false}]}' > /dev/null
mount -t nfs4 -o vers=4.2,port=12049 10.0.2.15:/podman /mnt/podman
podman healthcheck run holdfast; echo "its health check ends with $?"
begin held python3 "$FILES/hold.py" /mnt/podman/held
podman restart holdfast > /dev/null; await 600 there; echo 'it was restarted'
podman kill holdfast > /dev/null; podman wait holdfast > /dev/null
gone() { test "$(count)" = "$before"; }
await 300 gone
podman start holdfast > /dev/null; await 600 there; echo 'it was killed and started'
finish held
test "$(wc -l < /srv/podman/held)" -gt 0
awk '/^(CapBnd|NoNewPrivs|Seccomp):/' /proc/"$(podman inspect --format '{{.State.Pid}}' holdfast)"/status
umount /mnt/podman
podman stop holdfast > /dev/null
podman inspect --format 'it ended with {{.State.ExitCode}}' holdfast
await 300 gone; echo 'nothing is left'
"""

_END = """
umount --force --lazy /mnt/podman 2> /dev/null || true
podman rm --force --volumes --ignore holdfast > /dev/null 2>&1 || true
podman volume rm --force holdfast-state > /dev/null 2>&1 || true
podman image rm --all --force > /dev/null 2>&1 || true
rm -rf /srv/podman /etc/containers/systemd/holdfast.container
"""


def test_the_image_runs_under_podman(client: Client) -> None:
    for path, name in _FILES.items():
        client.channel.execute(("tee", path), (CHECKOUT / name).read_bytes())
    client.channel.execute(("mkdir", "-p", "/etc/containers/containers.conf.d"))
    client.channel.execute(("tee", "/etc/containers/containers.conf.d/lab.conf"), _CONFIGURATION)
    try:
        said = client.run(_PREPARE + _COUNT + _LIFE, 1500)
    finally:
        client.run(_END, mounted=False)
    line = said.splitlines()[0]
    assert line.startswith("/usr/bin/podman run --name holdfast "), said
    assert "seccomp=/etc/containers/holdfast-seccomp.json" in line
    assert "its health check ends with 0" in said
    assert "it was killed and started" in said
    assert re.search(r"^[1-9]\d* lines$", said, re.MULTILINE), said
    assert re.search(r"^NoNewPrivs:\s1$", said, re.MULTILINE), said
    assert re.search(r"^Seccomp:\s2$", said, re.MULTILINE), said
    assert "it ended with 0" in said
    assert said.rstrip().endswith("nothing is left"), said
