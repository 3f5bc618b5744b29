"""The NFS daemons as data."""

from __future__ import annotations

from configparser import ConfigParser

from appliance.nfs import daemons
from appliance.settings import Settings


def test_version_4_needs_neither_rpcbind_nor_statd() -> None:
    specs = daemons.daemons(Settings(nfs_v3=False))
    assert [spec.name for spec in specs] == ["nfsdcld", "rpc.mountd"]
    # Without this it wants to register with an rpcbind that is not there.
    assert "-N 3" in " ".join(specs[1].argv)


def test_version_3_has_rpcbind_first() -> None:
    specs = daemons.daemons(Settings(nfs_v3=True))
    assert [spec.name for spec in specs] == ["rpcbind", "rpc.statd", "nfsdcld", "rpc.mountd"]
    assert "-N 3" not in " ".join(specs[3].argv)
    # Where its list is stands nowhere else: a host's own sm-notify would tell clients before knfsd is there.
    assert " -P /var/lib/holdfast/nfs/statd " in " ".join(specs[1].argv)
    assert "--no-notify" in specs[1].argv


def test_nfsd_is_told_versions_times_and_threads() -> None:
    command = daemons.nfsd(Settings(nfs_grace=12, nfs_lease=11), threads=5)
    assert " ".join(command) == "rpc.nfsd -N 3 -N 4.0 -V 4.1 -V 4.2 -G 12 -L 11 -p 2049 5"
    assert " ".join(daemons.nfsd(Settings(nfs_v3=True), 5)).startswith("rpc.nfsd -V 3 -N 4.0 ")


def test_nfs_conf_puts_all_state_on_the_volume() -> None:
    conf = ConfigParser()
    conf.read_string(daemons.conf(Settings()))
    assert conf["mountd"]["manage-gids"] == "n"
    places = [conf[section][key] for section in conf.sections() for key in conf[section] if "dir" in key]
    assert len(places) == 4
    assert [place for place in places if not place.startswith("/var/lib/holdfast/nfs")] == ["/run/rpc_pipefs"]
