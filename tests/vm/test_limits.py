"""What is large, over NFS: a list of a thousand clients, long names, deep paths, files beyond 4 TiB."""

from __future__ import annotations

import json

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

_CLIENTS = 1000
# A network for measurements (RFC 2544), where nobody is.
_OTHERS = [{"host": f"198.18.{number // 250}.{number % 250 + 1}", "access": "rw"} for number in range(_CLIENTS)]
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
    assert said.split() == ["name", "255", "depth", "2046", "size", str((5 << 40) + 5)]
