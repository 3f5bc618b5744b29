"""The daemons for Kerberos and TLS: started where their files are, with no right that they do not use."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.children import ChildSpec
from appliance.nfs.netlink import has_generic
from appliance.nfs.protectors import idmapd_conf, protectors, tlshd_conf
from appliance.settings import Settings

FILES = {
    "nfs_krb5_keytab": "krb5.keytab",
    "nfs_krb5_conf": "krb5.conf",
    "nfs_tls_certificate": "nfs-tls.crt",
    "nfs_tls_key": "nfs-tls.key",
    "nfs_tls_ca": "nfs-tls-ca.crt",
}


def settings(place: Path) -> Settings:
    return Settings.model_validate({name: place / file for name, file in FILES.items()})


def started(place: Path) -> dict[str, ChildSpec]:
    return {spec.name: spec for spec in protectors(settings(place))}


def test_no_file_no_daemon(tmp_path: Path) -> None:
    assert started(tmp_path) == {}


def test_a_key_table_starts_svcgssd_without_any_right(tmp_path: Path) -> None:
    (tmp_path / "krb5.keytab").touch()
    specs = started(tmp_path)
    assert list(specs) == ["rpc.svcgssd", "rpc.idmapd"]
    assert [spec.capabilities for spec in specs.values()] == [(), ()]
    environment = dict(specs["rpc.svcgssd"].environment)
    assert environment["KRB5_KTNAME"] == str(tmp_path / "krb5.keytab")
    assert environment["KRB5_CONFIG"] == str(tmp_path / "krb5.conf")


def test_accounts_are_of_the_default_realm(tmp_path: Path) -> None:
    assert idmapd_conf(settings(tmp_path)) == "[Mapping]\nNobody-User = nobody\nNobody-Group = nogroup\n"
    (tmp_path / "krb5.conf").write_text("[libdefaults]\n  default_realm = LAB.EXAMPLE.ORG\n")
    assert idmapd_conf(settings(tmp_path)).startswith(
        "[General]\nDomain = lab.example.org\nLocal-Realms = LAB.EXAMPLE.ORG\n[Mapping]\n"
    )


@pytest.mark.parametrize("missing", ["nfs-tls.crt", "nfs-tls.key", "nfs-tls-ca.crt", None])
def test_tlshd_takes_all_three_files_and_one_right(tmp_path: Path, missing: str | None) -> None:
    for name in ("nfs-tls.crt", "nfs-tls.key", "nfs-tls-ca.crt"):
        if name != missing:
            (tmp_path / name).touch()
    specs = started(tmp_path)
    assert list(specs) == ([] if missing else ["tlshd"])
    if not missing:
        assert specs["tlshd"].capabilities == ("net_admin",)


def test_tlshd_is_told_the_names_and_not_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "nfs-tls.key").write_text("secret")
    conf = tlshd_conf(settings(tmp_path))
    assert f"x509.private_key={tmp_path}/nfs-tls.key\n" in conf
    assert "secret" not in conf


def test_a_socket_of_generic_netlink_is_told_by_its_process(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    assert not has_generic(942, tmp_path)
    # The address is that which libnl gave a tlshd of process 942.
    (tmp_path / "net/netlink").write_text(
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
        "0000000096b46f33 16  0          00000000 0        0        0     2        0        5\n"
        "0000000096b46f34 0   943        00000000 0        0        0     2        0        6\n"
        "0000000096b46f35 16  578814894  00000000 0        0        0     2        0        7\n"
    )
    assert has_generic(942, tmp_path)
    assert not has_generic(943, tmp_path)
