"""Kerberos and TLS, by a real client with a real KDC and certificates: who has not what a share asks for is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]
_WIRE = ". $FILES/wire.sh\n"


@pytest.fixture(scope="module")
def wire(client: Client) -> Iterator[Client]:
    """The machine, with a container beside the usual one whose shares ask for Kerberos and TLS."""
    with _container(client):
        yield client


@contextmanager
def _container(client: Client) -> Iterator[None]:
    try:
        client.run(_WIRE + "prepare", timeout=1500)
        yield
    finally:
        sys.stderr.write(client.run(_WIRE + "tidy"))  # what the daemons have said, should a test have failed


def test_kerberos_is_asked_for_and_tells_who_it_is(wire: Client) -> None:
    wire.run(
        _WIRE
        + """
        await 600 reaches krb5p sec=krb5p
        fails reaches krb5p sec=sys
        fails reaches krb5p sec=krb5
        alice() { setpriv --reuid 4321 --regid 4321 --clear-groups env HOME=/ "$@"; }
        chmod 644 $config/client/alice.keytab
        alice kinit -c /tmp/krb5cc_4321 -k -t $config/client/alice.keytab alice
        await 600 reaches krb5p sec=krb5p alice
        test "$(stat -c %u:%g /srv/wire/krb5p/file)" = 4711:4711
        """
    )


def test_tls_is_asked_for(wire: Client) -> None:
    wire.run(
        _WIRE
        + """
        await 600 reaches tls xprtsec=tls
        fails reaches tls xprtsec=none
        """
    )


def test_a_client_s_certificate_cannot_be_asked_for_under_docker_s_seccomp_profile(wire: Client) -> None:
    """Without keyrings tlshd cannot say whose certificate it saw, and every client would be refused, without a word."""
    said = wire.run(
        _WIRE
        + """
        mkdir -p /srv/wire/mtls
        ask POST /v1/shares '{"name": "mtls", "source": "/srv/wire/mtls",
            "clients": [{"network": "192.0.2.0/24", "transport": "mtls"}]}'
        """
    )
    assert "protection-missing" in said
    assert "keyrings" in said


def test_a_protector_that_is_gone_is_a_finding_until_it_is_back(wire: Client) -> None:
    """tlshd ends at once without its configuration; it is taken away, and put back."""
    wire.run(
        _WIRE
        + """
        pid_of() { inside sh -c "grep -lx $1 /proc/[0-9]*/comm | cut -d/ -f3"; }
        found() { [[ $(health) == *'"tls-missing"'* ]]; }
        well() { said=$(health) && [[ $said == *'"findings"'* && $said != *tls-missing* ]]; }
        over() { well && pid_of tlshd | grep -q .; }
        over
        inside mv /run/holdfast/tlshd.conf /run/holdfast/away
        inside kill $(pid_of tlshd) || true  # a child of a handshake may have ended meanwhile
        await 600 found
        inside mv /run/holdfast/away /run/holdfast/tlshd.conf
        await 600 over
        await 600 reaches tls xprtsec=tls
        """
    )


def test_the_daemons_have_no_right_that_they_do_not_use(wire: Client) -> None:
    said = wire.run(
        _WIRE
        + """
        inside sh -c 'for p in /proc/[0-9]*; do
            case $(cat $p/comm 2> /dev/null) in
                tlshd|rpc.svcgssd|rpc.idmapd) echo "$(cat $p/comm) $(grep CapBnd $p/status) $(grep CapEff $p/status)";;
            esac
        done'
        """
    )
    rows = [words for line in said.splitlines() if len(words := line.split()) == 5]  # not of one that has just ended
    found = {words[0]: {int(word, 16) for word in words[2::2]} for words in rows}
    assert found == {"tlshd": {1 << 12}, "rpc.svcgssd": {0}, "rpc.idmapd": {0}}
