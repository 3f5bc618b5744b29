"""The user-space programs of an NFS server, as data: which, in what order, with what arguments, ready when."""

from __future__ import annotations

from pathlib import Path

from appliance.children import Accepts, ChildSpec, HoldsOpen, Succeeds
from appliance.nfs import lock_holders
from appliance.settings import Settings

PIPEFS = Path("/run/rpc_pipefs")
RPCBIND_PORT = 111


def statd_dir(settings: Settings) -> Path:
    """Return rpc.statd's directory: which NFSv3 clients to tell of a restart."""
    return settings.nfs_state_dir / "statd"


def conf(settings: Settings) -> str:
    """Return the nfs.conf(5) fragment: what exportfs and the daemons have no argument for."""
    state = settings.nfs_state_dir
    sections: dict[str, dict[str, object]] = {
        "general": {"pipefs-directory": PIPEFS},
        "exportd": {"state-directory-path": state},
        # manage-gids would replace a caller's groups by those that the container's /etc/group gives him: none.
        "mountd": {"state-directory-path": state, "manage-gids": "n"},
        "nfsdcld": {"storagedir": state / "nfsdcld"},
    }
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for section, values in sections.items()
    )


def daemons(settings: Settings) -> list[ChildSpec]:
    """Return the daemons in the order in which they have to start; all are up before nfsd gets its threads."""
    return [*(_version_3(settings) if settings.nfs_v3 else ()), _nfsdcld(settings), _mountd(settings)]


def nfsd(settings: Settings, threads: int) -> list[str]:
    """Return the command that gives the kernel's server its threads."""
    versions = ["-V", "3"] if settings.nfs_v3 else ["-N", "3"]
    versions += ["-N", "4.0", "-V", "4.1", "-V" if settings.nfs_v42 else "-N", "4.2"]
    # The appliance's own checks ask by way of the loopback address.
    hosts = ("127.0.0.1", *map(str, settings.nfs_addresses)) if settings.nfs_addresses else ()
    addresses = [word for host in dict.fromkeys(hosts) for word in ("-H", host)]
    times = ["-G", str(settings.nfs_grace), "-L", str(settings.nfs_lease)]
    return ["rpc.nfsd", *versions, *addresses, *times, "-p", str(settings.nfs_port), str(threads)]


def _nfsdcld(settings: Settings) -> ChildSpec:
    # It keeps the list of clients that may reclaim their opens and locks after a restart. nfsd looks for it once, when
    # it gets its threads, and without it falls back to a way that does not work in a container: so it comes first, and
    # is ready when it watches for the kernel's pipe.
    return ChildSpec(
        "nfsdcld",
        ("nfsdcld", "-F", "-p", str(PIPEFS), "-s", str(settings.nfs_state_dir / "nfsdcld")),
        HoldsOpen("inotify"),
    )


def _mountd(settings: Settings) -> ChildSpec:
    # It answers the kernel's questions about who may use which export, for NFSv4 as well. Without `-N 3` it insists on
    # rpcbind.
    version = () if settings.nfs_v3 else ("-N", "3")
    return ChildSpec(
        "rpc.mountd",
        ("rpc.mountd", "-F", "-N", "2", *version, "-p", str(settings.mountd_port)),
        HoldsOpen("/nfsd.fh/channel"),
    )


def _version_3(settings: Settings) -> list[ChildSpec]:
    # Not in nfs.conf, which the host's own sm-notify may read at a boot.
    place = ("-P", str(statd_dir(settings)), "-p", str(settings.statd_port))
    return [
        ChildSpec(
            "rpcbind",
            ("rpcbind", "-w", "-f"),
            Accepts(RPCBIND_PORT),
            capabilities=("net_bind_service", "setgid", "setuid"),  # it becomes a user of its own
        ),
        ChildSpec(
            "rpc.statd",
            # It would have sm-notify tell clients before knfsd is there to be asked for their locks, and wait for that:
            # a quarter of an hour if one of them is off.
            ("rpc.statd", "-F", "-d", "--no-notify", *place, "-H", lock_holders.PROGRAM),
            Succeeds(("rpcinfo", "-T", "tcp", "127.0.0.1", "status")),
            capabilities=lock_holders.RIGHTS,
            environment=lock_holders.environment(statd_dir(settings)),
        ),
    ]
