"""`make up` and `make down` on a machine that has a Docker engine and an NFS server of its own: the virtual machine."""

from __future__ import annotations

import pytest

from tests.vm import checkout
from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

# No registry is in reach in there, so the engine's image counts as built from the checkout: it was, by buildah.
_PREPARE = """
cd /root/checkout; export PYTHONPATH=/root/checkout/site HOLDFAST_SOURCES=/srv
python3 - <<'END'
import json
from deploy.engine import _image_id
from deploy.image import image_key
from deploy.paths import state_root
state_root().mkdir(parents=True, exist_ok=True)
(state_root() / "engine-image.json").write_text(json.dumps([image_key(), _image_id()]))
END
"""


def test_up_twice_and_down_on_an_engine(client: Client) -> None:
    checkout.bring(client)
    said = client.run(
        _PREPARE
        + """
        # One client of one server: by its second address it would go on using its first one, which the demo's share
        # does not let in.
        server=$(findmnt -no SOURCE /mnt/share); umount /mnt/share
        compose down
        back() {
            compose up --detach --no-build; await_ready; api DELETE /v1/shares/demo > /dev/null
            mount -t nfs4 -o vers=4.2 "$server" /mnt/share
        }
        trap back EXIT
        for time in first second; do
            SECONDS=0; python3 -m deploy up; echo "the $time time took $SECONDS s"
            mkdir -p /mnt/demo; mount -t nfs4 -o vers=4.2 127.0.0.1:/demo /mnt/demo
            cmp /mnt/demo/README /srv/demo/README
            umount /mnt/demo
        done
        python3 -m deploy down
        test -z "$(docker ps --quiet)"
        test -s /srv/demo/README
        """,
        timeout=900,
    )
    assert said.count("Holdfast is up in this machine's Docker engine") == 2
    assert said.count("mount   mount -t nfs4") == 2
