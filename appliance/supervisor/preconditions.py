"""What has to be true before anything is started. Each failure names what is missing and the step that mends it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from appliance.errors import CommandError, KernelError, PortError, SettingsError
from appliance.linux import mounts
from appliance.nfs import lock_holders
from appliance.nfs.commands import ENVIRONMENT
from appliance.nfs.daemons import PIPEFS
from appliance.settings import Settings
from appliance.supervisor import privileges

_PROGRAMS = ("exportfs", "rpc.nfsd", "rpc.mountd", "nfsdcld", "unshare", "mount", "setpriv", "cat", "tee", "grep")
PROGRAMS_V3 = ("rpcbind", "rpc.statd", "rpcinfo", "sm-notify", lock_holders.PROGRAM)


def check(settings: Settings, root: Path = Path("/"), *, port_is_free: bool = True) -> None:
    """Raise the HoldfastError of the first thing that is missing. `root` is where /proc and /dev are found.

    `port_is_free` is False when the NFS server runs already, so that its port shall be taken.
    """
    privileges.check_capabilities((root / "proc/self/status").read_text())
    privileges.check_fuse(root / "dev/fuse")
    privileges.check_writable(_directories(settings))
    check_nfsd((root / "proc/filesystems").read_text())
    check_programs(_PROGRAMS + (PROGRAMS_V3 if settings.nfs_v3 else ()))
    privileges.check_host_name()
    check_user(settings.api_user)
    if port_is_free:
        check_port(settings.nfs_port, "the NFS server", "HOLDFAST_NFS_PORT")


def _directories(settings: Settings) -> tuple[Path, ...]:
    """Where something is written or mounted besides the state volume, which has a message of its own."""
    return (PIPEFS.parent, settings.run_dir, settings.exports_file.parent, settings.nfs_conf_file.parent)


def check_nfsd(filesystems: str, has: Callable[[str], bool] = mounts.has) -> None:
    """Look for nfsd in the text of /proc/filesystems; if it is not there, have the kernel look for its module."""
    if "nfsd" in filesystems.split():
        return
    try:
        found = has("nfsd")
    except OSError as error:
        raise privileges.mount_refused("nfsd", error) from error
    if not found:
        raise KernelError(
            "the running kernel has no NFS server",
            "on the host: modprobe nfsd tells why, or mends it; HOLDFAST_LOAD_MODULES has the container try",
            code="no-nfsd",
        )


def check_programs(names: tuple[str, ...]) -> None:
    """Look for the programs of the NFS side."""
    missing = [name for name in names if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]
    if missing:
        raise CommandError(
            f"these programs are not installed: {', '.join(missing)}",
            "apt-get install nfs-kernel-server nfs-common rpcbind util-linux",
            code="programs-missing",
        )


def check_user(name: str) -> pwd.struct_passwd:
    """Return the user that the API runs as; its group has to have its name too."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise SettingsError(
            f"there is no user {name} for the API to run as", f"useradd --system --user-group {name}", code="no-user"
        ) from None


def check_port(port: int, owner: str, setting: str) -> None:
    """See that nobody listens on a TCP port; who comes in between will still be noticed, less clearly."""
    try:
        listen("::", port).close()
    except PortError as error:
        raise PortError(
            f"TCP port {port}, which {owner} needs, is taken",
            f"stop who listens there (ss -ltnp 'sport = :{port}'), such as the host's own server, or set {setting}",
        ) from error


def listen(address: str, port: int) -> socket.socket:
    """Return a listening TCP socket; `::` means every address of both families. Raises PortError."""
    dual = address == "::" and socket.has_dualstack_ipv6()
    if address == "::" and not dual:
        address = "0.0.0.0"  # noqa: S104 - this host has no IPv6
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, dualstack_ipv6=dual, backlog=128)
    except OSError as error:
        raise PortError(
            f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}",
            f"stop who listens there (ss -ltnp 'sport = :{port}'), or choose another port",
        ) from error
