"""Whether Kerberos and TLS are there to be asked for, as found in /proc and /etc."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import RequestError
from appliance.linux import keyrings
from appliance.model import Client
from appliance.nfs.protection import GSS_CHANNEL, check, lacks_kerberos, lacks_tls, needed

NET_ADMIN = 1 << 12


def process(root: Path, pid: str, comm: str, namespace: str, capabilities: int = 0) -> None:
    (root / "proc" / pid / "ns").mkdir(parents=True)
    (root / "proc" / pid / "comm").write_text(f"{comm}\n")
    (root / "proc" / pid / "ns/net").symlink_to(namespace)
    (root / "proc" / pid / "status").write_text(f"Name:\t{comm}\nCapEff:\t{capabilities:016x}\n")


def test_tls_takes_a_tlshd_in_our_own_network(tmp_path: Path) -> None:
    process(tmp_path, "self", "python3", "net:[1]")
    assert lacks_tls(tmp_path)
    process(tmp_path, "7", "tlshd", "net:[2]", NET_ADMIN)
    process(tmp_path, "8", "bash", "net:[1]", NET_ADMIN)
    assert "no tlshd runs" in (lacks_tls(tmp_path) or ("", ""))[0]
    process(tmp_path, "9", "tlshd", "net:[1]", ~NET_ADMIN & 0xFFFFFFFF)
    assert "NET_ADMIN" in (lacks_tls(tmp_path) or ("", ""))[0]
    process(tmp_path, "10", "tlshd", "net:[1]", NET_ADMIN)
    assert lacks_tls(tmp_path) is None


@pytest.mark.parametrize("daemon", ["rpc.svcgssd", "gssproxy"])
def test_kerberos_takes_the_kernel_and_a_daemon(tmp_path: Path, daemon: str) -> None:
    process(tmp_path, "self", "python3", "net:[1]")
    assert "kernel" in (lacks_kerberos(tmp_path) or ("", ""))[0]
    (tmp_path / GSS_CHANNEL).parent.mkdir(parents=True)
    (tmp_path / GSS_CHANNEL).touch()
    process(tmp_path, "7", daemon, "net:[2]")
    assert "rpc.svcgssd" in (lacks_kerberos(tmp_path) or ("", ""))[0]
    process(tmp_path, "8", daemon, "net:[1]")
    assert lacks_kerberos(tmp_path) is None


def test_a_client_s_certificate_takes_keyrings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, "self", "python3", "net:[1]")
    process(tmp_path, "9", "tlshd", "net:[1]", NET_ADMIN)
    clients = (Client(host="a", transport="tls"), Client(host="b", transport="mtls"))
    monkeypatch.setattr(keyrings, "allowed", lambda: True)
    check(clients, tmp_path)
    monkeypatch.setattr(keyrings, "allowed", lambda: False)
    check(clients[:1], tmp_path)
    with pytest.raises(RequestError) as caught:
        check(clients, tmp_path)
    assert (caught.value.code, caught.value.field) == ("protection-missing", "clients.1.transport")


def test_what_clients_ask_for() -> None:
    plain, kerberos, tls = Client(host="a"), Client(host="a", security=("krb5i",)), Client(host="a", transport="mtls")
    assert [needed(each) for each in ((plain,), (plain, kerberos), (tls,))] == [
        (False, False), (True, False), (False, True),
    ]  # fmt: skip


def test_what_asks_for_nothing_is_not_refused(tmp_path: Path) -> None:
    check((Client(host="a"),), tmp_path)
    with pytest.raises(RequestError) as caught:
        check((Client(host="a"), Client(host="b", security=("sys", "krb5p"))), tmp_path)
    assert (caught.value.code, caught.value.field) == ("protection-missing", "clients.1.security")
