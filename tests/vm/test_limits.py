"""What is large, over NFS: many open files, programs and clients, long names, deep paths, files beyond 4 TiB."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

_CLIENTS = 1000
# A network for measurements (RFC 2544), where nobody is.
_OTHERS = [{"host": f"198.18.{number // 250}.{number % 250 + 1}", "access": "rw"} for number in range(_CLIENTS)]
_FILES = 500  # open at once, a round: 10,000 by `make endurance`
_PROGRAMS = 200
_PATIENCE = 120  # seconds a round
_MOST_DESCRIPTORS, _MOST_KILOBYTES = 3 * 1024 + 100, 80_000  # of a worker or pool process (docs/architecture.md)
_EVERYBODY = {"network": "0.0.0.0/0", "access": "rw", "squash": "none", "secure_ports": False}


def test_a_client_is_let_in_beside_a_thousand_others(client: Client) -> None:
    share = {"name": "crowded", "source": "/srv/crowded", "clients": [*_OTHERS, _EVERYBODY]}
    said = client.run(
        f"""
        mkdir -p /srv/crowded /mnt/crowded
        cat > /run/crowded.json <<'END'
{json.dumps(share)}
END
        end() {{
            set +e
            umount -f /mnt/crowded
            api DELETE /v1/shares/crowded > /run/answer
            rm -r /srv/crowded /mnt/crowded
        }}
        trap end EXIT
        api POST /v1/shares @/run/crowded.json > /run/answer
        # the whole world is two halves to mountd
        docker exec $(container) exportfs -s | grep -c '^/exports/crowded  *198[.]18[.]'
        server=$(findmnt -no SOURCE /mnt/share)
        mount -t nfs4 -o vers=4.2 "${{server%%:*}}:/crowded" /mnt/crowded
        echo in > /mnt/crowded/file; sync; cat /srv/crowded/file
        """,
        timeout=500,
    )
    assert said.split() == [str(_CLIENTS), "in"]


def test_names_paths_and_files_as_long_as_they_may_be(client: Client) -> None:
    said = client.run(
        """
        trap 'rm -rf /srv/source/long' EXIT
        python3 $FILES/long.py /mnt/share/long /srv/source/long
        """,
        timeout=500,
    )
    assert said.split() == ["name", "255", "path", "4095", "size", str((5 << 40) + 5)]


@pytest.mark.rounds(1)
def test_many_open_files_and_programs_outlive_deaths(
    client: Client, rounds: int, record_property: Callable[[str, object], None]
) -> None:
    """Reclaiming so much after the container's death is knfsd's own matter, and a question of its grace time."""
    files = rounds * _FILES
    said = client.run(
        f"""
        end() {{
            touch /run/many.stop /run/crowd.stop; wait
            rm -rf /srv/source/many /srv/source/crowd /run/crowd.stop
        }}
        trap end EXIT
        killed() {{  # NAME: one of them, by the kernel, and wait for another
            local pid=$(pgrep --newest -x $1)
            kill -9 $pid
            again() {{ test -n "$(pgrep -x $1)" && ! kill -0 $pid; }}
            await 300 again $1; await_ready
        }}
        sizes() {{  # descriptors and KiB in memory of each worker and pool process
            local pid
            for pid in $(pgrep -x 'holdfast-(worker|pool)'); do
                echo $(cat /proc/$pid/comm; ls /proc/$pid/fd | wc -l; awk '/^VmRSS/ {{ print $2 }}' /proc/$pid/status)
            done
        }}
        patience={_PATIENCE * rounds} begin many python3 $FILES/open_many.py /mnt/share/many {files} /run/many.stop
        python3 $FILES/crowd.py /mnt/share/crowd {_PROGRAMS} /run/crowd.stop > /run/crowd.out 2>&1 & crowd=$!
        sleep 5
        sizes
        killed holdfast-worker; killed holdfast-pool; killed holdfast
        sizes
        touch /run/crowd.stop; wait $crowd || {{ cat /run/crowd.out; exit 1; }}; cat /run/crowd.out
        finish many
        """,
        timeout=600 + 2 * _PATIENCE * rounds,
    )
    assert f"\n{files} files\n" in said, said
    assert re.search(rf"^[1-9]\d* rounds of {_PROGRAMS} programs$", said, re.MULTILINE), said
    sizes = re.findall(r"^(holdfast-\w+) (\d+) (\d+)$", said, re.MULTILINE)
    assert {name for name, _, _ in sizes} == {"holdfast-worker", "holdfast-pool"}, said
    descriptors, kilobytes = max(int(count) for _, count, _ in sizes), max(int(size) for _, _, size in sizes)
    assert descriptors < _MOST_DESCRIPTORS, said
    assert kilobytes < _MOST_KILOBYTES, said
    record_property(
        "many",
        f"{files} files open and {_PROGRAMS} programs at once, over NFS: no worker or pool process had more than "
        f"{descriptors} descriptors or {kilobytes / 1024:.0f} MiB",
    )
