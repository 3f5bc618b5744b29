"""The control plane on the real thing: who is let in, what clients hold, drift that is repaired, numbers."""

from __future__ import annotations

import json
import re

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

_HOLDFAST = 'holdfast() { compose exec -T holdfast holdfast "$@"; }\n'


# A file that is opened for reading and writing is delegated whole, and the client keeps its locks to itself: hence one
# for writing only. One that is opened for reading is delegated, unless the kernel has just asked for another back whose
# handle hashes alike: hence another one until it is so.
_HOLD = """
trap 'rm -rf /srv/source/claims' EXIT
mkdir -p /srv/source/claims/below
for number in $(seq 100); do echo read > /srv/source/claims/below/read$number; done
echo locked > /srv/source/claims/below/locked
exec 7>> /mnt/share/claims/below/locked
flock --exclusive --timeout 60 7
busiest() {
    api GET '/v1/clients?share=share' | python3 -c '
import json, sys
print(max(json.load(sys.stdin)["clients"], key=lambda one: sum(held["opens"] for held in one["held"]))["number"])'
}
a_delegation='"kind":"delegation"[^}]*"path":"claims/below/read'
a_lock='"kind":"lock"[^}]*"path":"claims/below/locked"'
opened=0
delegated() {
    opened=$((opened + 1))
    exec {descriptor}< /mnt/share/claims/below/read$opened
    read -r <&$descriptor
    report=$(api GET /v1/clients/$(busiest))
    [[ $report =~ $a_delegation && $report =~ $a_lock ]]
}
"""


def test_a_client_is_told_with_the_paths_of_what_it_holds_and_its_session_is_ended(client: Client) -> None:
    said = client.run(
        f"""{_HOLD}
        await 600 delegated
        echo "told: $report"
        number=$(busiest)
        api DELETE /v1/clients/$number
        api GET /v1/clients/$number || true; echo
        exec 7>&-
        # The client comes back by itself, with another number.
        echo again > /mnt/share/claims/again
        test "$(cat /srv/source/claims/again)" = again
        echo "listed: $(api GET /v1/clients)"
        echo "event: $(api GET '/v1/events?kind=client-expired&limit=1')"
        """,
        timeout=900,
    )
    found = {key: json.loads(text) for key, text in re.findall(r"^(told|listed|event): (\{.*\})$", said, re.MULTILINE)}
    told = found["told"]
    assert (told["minor_version"], told["status"]) == (2, "confirmed"), said
    states = {(state["kind"], state["share"], state["path"]) for state in told["states"]}
    assert {("open", "share", "claims/below/locked"), ("lock", "share", "claims/below/locked")} <= states, said
    delegated = [state["path"] for state in told["states"] if state["kind"] == "delegation"]
    assert any(re.fullmatch(r"claims/below/read\d+", str(path)) for path in delegated), said
    assert '"code":"client-not-found"' in said
    assert told["number"] not in [one["number"] for one in found["listed"]["clients"]], said
    assert told["name"] in [one["name"] for one in found["listed"]["clients"]], said
    (event,) = found["event"]["events"]
    assert f"NFSv4 client {told['number']} " in event["message"], said
    assert event["by"], said


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
