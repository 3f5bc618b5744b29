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
        shares() {
            local share
            for share in share later; do
                echo "$1, $share: $(curl --silent --output /dev/null --write-out '%{http_code}' \
                    --header "Authorization: Bearer $HOLDFAST_TOKEN" $HOLDFAST_URL/v1/shares/$share)"
            done
        }

        rm -rf /root/other; mkdir -p /root/other/var/lib
        docker cp $(container):/var/lib/holdfast /root/other/var/lib/holdfast
        echo other > /root/other/var/lib/holdfast/api-token
        tar -C /root/other -cf /root/other.tar var/lib/holdfast
        tar -C /root/other -xf /root/state.tar; echo damaged >> /root/other/backup/state/api-token
        tar -C /root/other -cf /root/damaged.tar backup
        began=$(docker inspect --format '{{.State.StartedAt}}' $(container))
        volumes=$(docker volume ls --quiet)
        deploy restore /root/other.tar
        deploy restore /root/damaged.tar
        test "$began" = "$(docker inspect --format '{{.State.StartedAt}}' $(container))"
        test "$volumes" = "$(docker volume ls --quiet)"
        test "$HOLDFAST_TOKEN" = "$(docker exec $(container) cat /var/lib/holdfast/api-token)"
        shares refused

        deploy restore /root/state.tar; await_ready
        shares restored

        compose down --volumes; compose create --no-build
        deploy restore /root/state.tar
        compose up --detach --no-build; await_ready
        shares new-host

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
    assert re.findall(r"^restore ended with (\d+)$", said, re.MULTILINE) == ["69", "69", "0", "0"], said
    assert "other.tar is no backup of Holdfast: 'var/lib/holdfast" in said
    assert "api-token is not what was written" in said
    assert {"refused, share: 200", "refused, later: 200", "restored, share: 200", "restored, later: 404",
            "new-host, share: 200", "new-host, later: 404"} <= set(said.splitlines()), said
    assert re.search(r"^[1-9]\d* operations$", said, re.MULTILINE), said
    assert re.search(r"^\d+ lines$", said, re.MULTILINE), said
    record_property("upgrade", f"{gap[1]} from the order to stop until ready, {rolled[1]} until rolled back")
