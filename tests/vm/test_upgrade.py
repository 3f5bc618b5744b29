"""Upgrade, backup and restore under load: pauses to clients, and what cannot start is gone back from by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.vm import checkout
from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(5400)]


def test_upgrades_are_pauses_and_what_cannot_start_is_rolled_back(
    client: Client, record_property: Callable[[str, object], None]
) -> None:
    checkout.bring(client)
    said = client.run(
        checkout.DEPLOY
        + """
        variant() { printf "FROM holdfast:latest\\n$2\\n" | docker build --quiet --tag "holdfast:$1" - ; }
        back() {
            compose up --detach --no-build --force-recreate; await_ready
            docker image rm --force holdfast:newer holdfast:unable holdfast:broken > /dev/null || true
        }
        trap back EXIT
        variant newer 'LABEL newer=yes'
        variant unable 'ENV HOLDFAST_NFS_PORT=none'
        variant broken 'LABEL newer=broken\\nCMD ["false"]'
        hold; storm storm-upgrade

        before=$(container)
        deploy upgrade --image holdfast:unable
        test "$before" = "$(container)"

        deploy upgrade --image holdfast:newer --seconds 900
        newer=$(container); test "$before" != "$newer"
        docker inspect --format 'newer: {{.Config.Labels.newer}}' $newer
        deploy upgrade --image holdfast:newer

        deploy upgrade --image holdfast:broken --seconds 900
        test "$newer" = "$(container)"; await_ready

        rm -f /root/state.tar
        deploy backup /root/state.tar; stat --format 'its mode is %a' /root/state.tar
        mkdir -p /srv/later
        api POST /v1/shares '{"name": "later", "source": "/srv/later", "clients": [{"network": "192.0.2.0/24"}]}' \
            > /dev/null
        deploy restore /root/state.tar; await_ready
        for share in share later; do
            echo "$share: $(curl --silent --output /dev/null --write-out '%{http_code}' \
                --header "Authorization: Bearer $HOLDFAST_TOKEN" $HOLDFAST_URL/v1/shares/$share)"
        done

        finish storm-upgrade
        hold_no_more
        """,
        timeout=4500,
    )
    assert "new image cannot start here: HOLDFAST_NFS_PORT" in said, said
    assert "newer: yes" in said
    assert "already" in said
    assert re.findall(r"^upgrade ended with (\d+)$", said, re.MULTILINE) == ["69", "0", "0", "69"], said
    gap = re.search(r"from the order to stop until it was ready: (\d+\.\d s)", said)
    rolled = re.search(r"rolled back, the old one serves again after (\d+\.\d s): the appliance ended", said)
    assert gap, said
    assert rolled, said
    assert "backup ended with 0" in said
    assert "its mode is 600" in said
    assert "restore ended with 0" in said
    assert "share: 200" in said
    assert "later: 404" in said
    assert re.search(r"^[1-9]\d* operations$", said, re.MULTILINE), said
    assert re.search(r"^\d+ lines$", said, re.MULTILINE), said
    record_property("upgrade", f"{gap[1]} from the order to stop until ready, {rolled[1]} until rolled back")
