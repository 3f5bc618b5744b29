"""Whether Kerberos and TLS are there to be asked for, as found in /proc and /etc."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import RequestError
from appliance.model import Client
from appliance.nfs.protection import GSS_CHANNEL, check, lacks_kerberos, lacks_tls


def process(root: Path, pid: str, comm: str, namespace: str) -> None:
    (root / "proc" / pid / "ns").mkdir(parents=True)
    (root / "proc" / pid / "comm").write_text(f"{comm}\n")
    (root / "proc" / pid / "ns/net").symlink_to(namespace)


def test_tls_takes_a_tlshd_in_our_own_network(tmp_path: Path) -> None:
    process(tmp_path, "self", "python3", "net:[1]")
    assert lacks_tls(tmp_path)
    process(tmp_path, "7", "tlshd", "net:[2]")
    process(tmp_path, "8", "bash", "net:[1]")
    assert lacks_tls(tmp_path)
    process(tmp_path, "9", "tlshd", "net:[1]")
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


def test_what_asks_for_nothing_is_not_refused(tmp_path: Path) -> None:
    check((Client(host="a"),), tmp_path)
    with pytest.raises(RequestError) as caught:
        check((Client(host="a"), Client(host="b", security=("sys", "krb5p"))), tmp_path)
    assert (caught.value.code, caught.value.field) == ("protection-missing", "clients.1.security")
