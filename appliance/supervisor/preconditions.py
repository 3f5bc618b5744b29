"""What has to be true before anything is started. Each failure names what is missing and the step that mends it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
from pathlib import Path

from appliance.errors import CommandError, DeviceError, KernelError, PermissionMissing, PortError, SettingsError
from appliance.nfs.commands import ENVIRONMENT
from appliance.settings import Settings

# Bits of linux/capability.h, and what fails without them.
CAPABILITIES = {
    "CAP_SYS_ADMIN": (21, "mounting, and the kernel's NFS server"),
    "CAP_DAC_READ_SEARCH": (2, "opening files by handle"),
}
_PROGRAMS = ("exportfs", "rpc.nfsd", "rpc.mountd", "nfsdcld", "unshare", "mount", "cat", "tee", "grep")
_PROGRAMS_V3 = ("rpcbind", "rpc.statd", "rpcinfo")


def check(settings: Settings, root: Path = Path("/"), *, port_is_free: bool = True) -> None:
    """Raise the HoldfastError of the first thing that is missing. `root` is where /proc and /dev are found.

    `port_is_free` is False when the NFS server runs already, so that its port shall be taken.
    """
    check_capabilities((root / "proc/self/status").read_text())
    check_fuse(root / "dev/fuse")
    check_nfsd((root / "proc/filesystems").read_text())
    check_programs(_PROGRAMS + (_PROGRAMS_V3 if settings.nfs_v3 else ()))
    check_user(settings.api_user)
    if port_is_free:
        check_port(settings.nfs_port, "the NFS server", "HOLDFAST_NFS_PORT")


def check_capabilities(status: str) -> None:
    """Look for the capabilities in the text of /proc/self/status."""
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    for name, (bit, purpose) in CAPABILITIES.items():
        if not effective >> bit & 1:
            raise PermissionMissing(
                f"the capability {name} is missing, which {purpose} needs",
                "run the container with --privileged",
                code="capability-missing",
            )


def check_fuse(device: Path) -> None:
    """Look for the character device /dev/fuse."""
    try:
        mode = device.stat().st_mode
    except OSError:
        mode = 0
    if not stat.S_ISCHR(mode):
        raise DeviceError(
            f"there is no device {device}",
            "on the host: modprobe fuse; and give it to the container: --device /dev/fuse, or --privileged",
            code="no-fuse",
        )


def check_nfsd(filesystems: str) -> None:
    """Look for nfsd in the text of /proc/filesystems."""
    if "nfsd" not in filesystems.split():
        raise KernelError("the running kernel has no NFS server", "on the host: modprobe nfsd", code="no-nfsd")


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
