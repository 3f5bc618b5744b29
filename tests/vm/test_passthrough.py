"""The kernel reads and writes the files of a share itself, under real knfsd: no worker hears of what NFS clients do.

What is open belongs to nobody that can die, and what a filesystem has to say of room and quotas reaches the client.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

# `number METRIC LABELS`: what /metrics says, 0 if nothing. `asked VERB`: how often workers were asked for something.
_NUMBERS = r"""
number() { api GET /metrics | awk -v name="$1{$2}" '$1 == name { n = $2 } END { printf "%d\n", n }'; }
asked() { number holdfast_operation_seconds_count "operation=\"$1\",share=\"share\""; }
opened() { number holdfast_open_files 'share="share"'; }
ids() { number holdfast_passthrough_files 'share="share"'; }
passthrough() { api GET /v1/shares/share | grep --quiet '"data_path":{"passthrough":true,"reason":""'; }
# A client gives delegated files back when its inodes leave its cache.
nothing_open() { echo 3 > /proc/sys/vm/drop_caches; test "$(opened) $(ids)" = '0 0'; }
. $FILES/reclaim.sh
await_nothing_open() { await 300 nothing_open || { echo "$(opened) files, $(ids) ids"; states; return 1; }; }
"""


def test_what_a_client_reads_and_writes_no_worker_hears_of(client: Client) -> None:
    said = client.run(
        f"""{_NUMBERS}
        passthrough
        await_nothing_open
        before="$(asked read) $(asked write)"
        head --bytes 20M /dev/urandom > /root/data
        dd if=/root/data of=/mnt/share/data bs=1M conv=fsync status=none
        exec 7<> /mnt/share/data
        echo "open: $(opened) files, $(ids) ids"
        sync; echo 1 > /proc/sys/vm/drop_caches  # of the client and of the server, which are one machine
        cmp /root/data /mnt/share/data; cmp /root/data /srv/source/data
        python3 -c '
import mmap, os
for path in ("/root/data", "/mnt/share/data"):
    file = os.open(path, os.O_RDWR)
    with mmap.mmap(file, 0) as mapped:
        mapped[5000:9000] = b"m" * 4000
    os.ftruncate(file, (10 << 20) + 17)
    os.fsync(file)
'
        for path in /root/data /mnt/share/data; do
            echo appended >> $path
            dd if=/dev/zero of=$path bs=64k count=3 seek=7 conv=notrunc oflag=direct status=none
        done
        sync; echo 1 > /proc/sys/vm/drop_caches
        cmp /root/data /mnt/share/data; cmp /root/data /srv/source/data
        exec 7>&-
        rm /mnt/share/data /root/data
        echo "before: $before, after: $(asked read) $(asked write)"
        await_nothing_open
        """,
        timeout=600,
    )
    assert re.search(r"^open: [1-9]\d* files, [1-9]\d* ids$", said, re.MULTILINE), said
    assert "before: 0 0, after: 0 0\n" in said, said


def test_open_files_go_on_whoever_dies(client: Client) -> None:
    """A file is held open all the time and opened anew all the time, beside names that come and go."""
    said = client.run(
        f"""{_NUMBERS}
        passthrough
        hold; storm storm-through; begin reopen python3 $FILES/reopen.py /mnt/share/held 0000001
        before=$(asked open)
        strike 0.5; await 600 struck 5; finish strikes
        for kill in 1 2; do
            await 180 pgrep -x holdfast-pool
            pkill -9 -x holdfast-pool; await_ready
        done
        docker exec $(container) pkill -9 -x holdfast; await_ready
        test "$(ids)" -ge 1; echo "opened: $(($(asked open) - before)) times by then"
        docker restart $(container) > /dev/null; await_ready; passthrough
        echo again >> /mnt/share/held.other; rm /mnt/share/held.other
        for mode in evict nfs; do compose exec -T holdfast holdfast check share --mode $mode; done
        test "$(ids)" -ge 1
        finish reopen storm-through; hold_no_more
        await_nothing_open
        python3 $FILES/backing_ids.py $(pgrep -x holdfast-pool) 20000
        """,
        timeout=1100,
    )
    assert re.search(r"[1-9]\d* killed", said), said
    assert re.search(r"[1-9]\d* lines", said), said
    assert re.search(r"[1-9]\d* operations", said), said
    assert re.search(r"[1-9]\d* opens", said), said
    assert re.search(r"opened: [1-9]\d+ times by then", said), said  # the server was really asked
    assert re.findall(r"^(?:drift|unanswered)\s+(\d+)$", said, re.MULTILINE) == ["0"] * 4, said
    assert all(int(count) >= 1 for count in re.findall(r"(\d+) handles checked", said)), said
    assert said.endswith("left:\n"), "ids stay in the kernel that nobody knows of"


# `room KIND OPTIONS`: a small filesystem with the source /srv/room/shared, its mount /mnt/room.
_ROOM = r"""
. $FILES/device.sh
no_room() { set +e; umount -f -l /mnt/room; api DELETE /v1/shares/room; umount -l /srv/room; rm -f /root/room.img; }
room() {
    truncate --size="$2" /root/room.img; mkfs.$1 -q /root/room.img
    mkdir -p /srv/room /mnt/room; mount -o loop,"$3" /root/room.img /srv/room
    mkdir /srv/room/shared; chmod 1777 /srv/room/shared
    api POST /v1/shares '{"name": "room", "source": "/srv/room/shared",
        "clients": [{"network": "0.0.0.0/0", "access": "rw", "squash": "none", "secure_ports": false}]}' > /dev/null
    mount -t nfs4 -o vers=4.2 "$server:/room" /mnt/room
    says room '"passthrough":true,"reason":""'
}
"""


@pytest.mark.parametrize(
    ("kind", "size", "options", "user", "told"),
    [
        ("ext4", "60M", "noatime", 0, "No space left on device"),
        ("xfs", "300M", "noatime,usrquota", 1234, "Disk quota exceeded"),
    ],
)
def test_that_there_is_no_room_is_told_as_such_and_ends_when_there_is(
    client: Client,
    kind: str,
    size: str,
    options: str,
    user: int,
    told: str,
    record_property: Callable[[str, object], None],
) -> None:
    said = client.run(
        f"""{_NUMBERS}{_ROOM}
        trap no_room EXIT
        room {kind} {size} {options}
        [ {user} = 0 ] || xfs_quota -x -c 'limit -u bhard=30m {user}' /srv/room
        as_user() {{ setpriv --reuid {user} --regid {user} --clear-groups "$@"; }}
        as_user python3 $FILES/fill.py /mnt/room
        head --bytes 1M /dev/urandom > /run/data
        as_user cp /run/data /mnt/room/data; sync; cmp /run/data /srv/room/shared/data
        """,
        timeout=600,
    )
    assert f"filled: {told}" in said, said
    waited = re.search(r"there is room after ([0-9.]+) s", said)
    assert waited, said
    record_property("room", f"{kind}, {told}: a file that was open is written again {waited[1]} s after a removal")
