"""Shares come and go by REST while a client works on another one, and nfsd is never restarted for it."""

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def test_a_share_is_added_and_another_removed_while_a_client_works(client: Client) -> None:
    client.run(
        """
        mkdir -p /srv/added /srv/removed /mnt/added
        clients='"clients": [{"network": "0.0.0.0/0", "access": "rw", "squash": "none", "secure_ports": false}]'
        server=$(findmnt -no SOURCE /mnt/share); server=${server%%:*}
        api POST /v1/shares "{\\"name\\": \\"removed\\", \\"source\\": \\"/srv/removed\\", $clients}"
        threads=$(pgrep -x nfsd | sort | tr '\\n' ' ')
        storm storm-shares
        api POST /v1/shares "{\\"name\\": \\"added\\", \\"source\\": \\"/srv/added\\", $clients}"
        mount -t nfs4 -o vers=4.2 $server:/added /mnt/added
        echo new > /mnt/added/file; sync
        test "$(cat /srv/added/file)" = new
        api DELETE /v1/shares/removed
        fails docker exec $(container) findmnt /exports/removed
        fails api GET /v1/shares/removed
        echo more >> /mnt/added/file
        finish storm-shares
        test "$threads" = "$(pgrep -x nfsd | sort | tr '\\n' ' ')"
        umount /mnt/added
        api DELETE /v1/shares/added
        api GET /v1/shares
        """,
        timeout=800,
    )


def test_bad_input_changes_nothing(client: Client) -> None:
    said = client.run(
        """
        before=$(api GET /v1/shares | grep -o '"name":"[^"]*"')
        for bad in '{"name": "x", "source": "relative"}' '{"name": "x", "source": "/srv/missing"}' \
            '{"name": "../x", "source": "/srv"}' '{"name": "share", "source": "/srv/source"}' \
            '{"name": "x", "source": "/srv/source/inside"}' '{"name": "x", "source": "/proc"}' \
            '{"name": "x", "source": "/srv", "clients": [{"network": "10.0.0.0/99"}]}' 'no json'; do
            curl --silent --output /run/answer --write-out '%{http_code} ' --max-time 60 --json "$bad" \
                --header "Authorization: Bearer $HOLDFAST_TOKEN" "$HOLDFAST_URL/v1/shares"
            cat /run/answer; echo
        done
        after=$(api GET /v1/shares | grep -o '"name":"[^"]*"')
        test "$before" = "$after"
        curl --silent --output /dev/null --write-out '%{http_code} without a token\n' "$HOLDFAST_URL/v1/shares"
        """
    )
    answers = [line for line in said.splitlines() if '"error"' in line]
    assert len(answers) == 8
    assert all(line.startswith("4") for line in answers), answers
    assert "401 without a token" in said
