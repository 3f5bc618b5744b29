"""The control plane on the real thing: who is let in, drift that is repaired, numbers."""

from __future__ import annotations

import re

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

_HOLDFAST = 'holdfast() { compose exec -T holdfast holdfast "$@"; }\n'


def test_named_tokens_are_good_for_their_role_until_they_are_revoked(client: Client) -> None:
    said = client.run(
        f"""{_HOLDFAST}
        token=$(holdfast token make reader --role read)
        status() {{ curl --silent --max-time 60 --output /dev/null --write-out '%{{http_code}} ' "$@"; }}
        ask() {{ status --header "Authorization: Bearer $token" "$@"; }}
        ask "$HOLDFAST_URL/v1/shares"; ask "$HOLDFAST_URL/v1/tokens"
        ask --request DELETE "$HOLDFAST_URL/v1/shares/none"
        holdfast token revoke reader
        ask "$HOLDFAST_URL/v1/shares"; status "$HOLDFAST_URL/metrics"; status "$HOLDFAST_URL/openapi.json"
        compose exec -T holdfast grep --text --count "$token" /var/lib/holdfast/holdfast.db || true
        """,
        timeout=900,
    )
    assert said.split() == ["200", "403", "403", "401", "401", "401", "0"], said


def test_what_somebody_undoes_by_hand_is_repaired_and_recorded(client: Client) -> None:
    said = client.run(
        f"""{_HOLDFAST}
        compose exec -T holdfast exportfs -ua
        repaired() {{ holdfast --json events --kind drift-repaired | grep -q exports; }}
        await 120 repaired
        await_ready
        echo again > /mnt/share/after-drift; cat /mnt/share/after-drift
        well() {{ holdfast status | grep -q "^status: ok"; }}
        await 120 well
        holdfast status
        await 120 sh -c '[ "$(docker inspect --format "{{{{.State.Health.Status}}}}" $(docker ps --quiet))" = healthy ]'
        """,
        timeout=900,
    )
    assert said.startswith("again\nstatus: ok"), said


def test_the_servers_numbers_are_told(client: Client) -> None:
    said = client.run(
        "for i in $(seq 1 20); do echo $i > /mnt/share/n$i; done; cat /mnt/share/n* > /dev/null; api GET /metrics",
        timeout=900,
    )

    def value(pattern: str) -> float:
        found = re.search(rf"^{pattern} (\S+)$", said, re.MULTILINE)
        assert found is not None, f"{pattern}\n{said}"
        return float(found[1])

    assert value(r'holdfast_operation_seconds_count\{operation="lookup",share="share"\}') > 0
    assert value(r'holdfast_nfsd_operations_total\{operation="write",version="4"\}') >= 20
    assert value(r"holdfast_nfsd_threads") >= 1
    assert value(r'holdfast_nfsd_pool_packets_total\{pool="0"\}') > 0
    assert value(r"holdfast_nfsd_reply_cache_entries_max") > 0
    assert value(r'holdfast_nfs_clients\{status="confirmed"\}') >= 1
    assert value(r'holdfast_source_bytes\{share="share"\}') > 0
    assert value(r"holdfast_nfsd_up") == 1
