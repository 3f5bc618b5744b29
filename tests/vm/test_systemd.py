"""The appliance without a container, by its unit: a real systemd starts, restarts and stops it, and a client goes on.

systemd is not process 1 of this machine, so it gets namespaces of its own, network included: Docker's appliance and
this one do not meet. What the unit starts is what the image holds, at the same place.
"""

from __future__ import annotations

import re

import pytest

from deploy.paths import CHECKOUT
from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

_SCRIPT = """
. $FILES/systemd.sh
back() {
    umount --force --lazy /mnt/unit 2> /dev/null || true
    manager_ends
    rm -rf /opt/holdfast /var/lib/holdfast /srv/unit /etc/systemd/system/holdfast.service /etc/holdfast.env
    rm -f /usr/lib/x86_64-linux-gnu/libfuse3.so.4
}
trap back EXIT
docker cp --quiet $(container):/opt/holdfast /opt/holdfast
docker cp --quiet --follow-link $(container):/usr/lib/x86_64-linux-gnu/libfuse3.so.4 /usr/lib/x86_64-linux-gnu/
id holdfast-api 2> /dev/null || useradd --system --user-group --no-create-home holdfast-api
mkdir -p /srv/unit /mnt/unit
printf '%s\\n' HOLDFAST_NFS_LEASE=15 HOLDFAST_NFS_GRACE=20 > /etc/holdfast.env

manager_starts
call() { managed curl --silent --fail --max-time 30 "http://127.0.0.1:8080$@"; }
there() { call /readyz; }
ended() { managed systemctl is-failed --quiet holdfast; }
there_or_ended() { there || ended; }
back_up() { await 600 there_or_ended; fails ended || managed journalctl --no-pager --unit holdfast; there > /dev/null; }
managed systemctl start holdfast; back_up
managed systemctl show --property SubState holdfast
first=$(managed systemctl show --value --property MainPID holdfast)
managed awk '/^(NoNewPrivs|Seccomp):/' /proc/$first/status
managed curl --silent --fail-with-body --header "Authorization: Bearer $(cat /var/lib/holdfast/api-token)" \\
    --json '{"name": "unit", "source": "/srv/unit", "clients": [
        {"network": "127.0.0.1/32", "access": "rw", "squash": "none", "secure_ports": false}]}' \\
    http://127.0.0.1:8080/v1/shares > /dev/null
# A client of that network, whose mount is to be seen here.
nsenter --target "$manager" --net mount -t nfs4 -o vers=4.2 127.0.0.1:/unit /mnt/unit
begin held python3 $FILES/hold.py /mnt/unit/held
managed systemctl restart holdfast; back_up; echo 'it was restarted'
finish held
test "$(wc -l < /srv/unit/held)" -gt 0
umount /mnt/unit
managed systemctl stop holdfast
managed systemctl show --property ExecMainStatus,Result,ActiveState holdfast
fails managed grep fuse.holdfast /proc/1/mounts
fails managed pgrep -x 'holdfast.*|rpc.mountd|nfsdcld'
echo 'nothing is left'
"""


def test_a_real_systemd_runs_the_unit(client: Client) -> None:
    unit = (CHECKOUT / "deploy/systemd/holdfast.service").read_bytes()
    client.channel.execute(("tee", "/etc/systemd/system/holdfast.service"), unit)
    said = client.run(_SCRIPT, 1500)
    assert "SubState=running" in said
    assert re.search(r"^NoNewPrivs:\s1$", said, re.MULTILINE), said
    assert re.search(r"^Seccomp:\s2$", said, re.MULTILINE), said
    assert "it was restarted" in said
    assert re.search(r"^[1-9]\d* lines$", said, re.MULTILINE), said
    for ending in ("ExecMainStatus=0", "Result=success", "ActiveState=inactive", "nothing is left"):
        assert ending in said, said
