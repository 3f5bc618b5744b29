"""What the container has to be allowed. compose.yaml gives exactly this, and docs/security.md says why."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from appliance.errors import DeviceError, MountError, PermissionMissing

# Bits of linux/capability.h, and what fails without them.
CAPABILITIES = {
    "CAP_CHOWN": (0, "giving files to their owners"),
    "CAP_DAC_OVERRIDE": (1, "serving files of every owner"),
    "CAP_DAC_READ_SEARCH": (2, "opening files by handle"),
    "CAP_FOWNER": (3, "changing modes and times of files of every owner"),
    "CAP_FSETID": (4, "keeping set-group-ID bits where the client's kernel has left them"),
    "CAP_KILL": (5, "ending the API, rpcbind and rpc.statd, which run as users of their own"),
    "CAP_SETGID": (6, "making files in the caller's group"),
    "CAP_SETUID": (7, "making files as the caller"),
    "CAP_SETPCAP": (8, "taking capabilities from workers, daemons and the API"),
    "CAP_NET_BIND_SERVICE": (10, "using ports below 1024, for checks over NFS and for NFSv3"),
    "CAP_SYS_ADMIN": (21, "mounting, and the kernel's NFS server"),
    "CAP_MKNOD": (27, "making device nodes for clients"),
}


def check_capabilities(status: str) -> None:
    """Look for the capabilities in the text of /proc/self/status. Raises PermissionMissing that names all of them."""
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    missing = {name: purpose for name, (bit, purpose) in CAPABILITIES.items() if not effective >> bit & 1}
    if not missing:
        return
    listed = "; ".join(f"{name}, which {purpose} needs" for name, purpose in missing.items())
    options = " ".join(f"--cap-add {name.removeprefix('CAP_')}" for name in missing)
    raise PermissionMissing(
        f"the container lacks {listed}",
        f"start it with compose.yaml, or with {options}",
        code="capability-missing",
    )


def check_fuse(device: Path) -> None:
    """Look for the character device /dev/fuse, and open it. Raises DeviceError."""
    try:
        mode = device.stat().st_mode
    except OSError:
        mode = 0
    if not stat.S_ISCHR(mode):
        raise DeviceError(
            f"there is no device {device}",
            "on the host: modprobe fuse; and give it to the container: --device /dev/fuse",
            code="no-fuse",
        )
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise DeviceError(
            f"the device {device} may not be opened: {error.strerror}",
            "the container's device rules forbid it; give it to the container: --device /dev/fuse",
            code="no-fuse",
        ) from error


def check_host_name(argv: Sequence[str] = ("unshare", "--uts", "true")) -> None:
    """See that a process may have a host name of its own, as what starts knfsd has. Raises PermissionMissing."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermissionMissing(
            f"no process may have a host name of its own: {done.stderr.strip()}",
            "a seccomp profile or a unit of an older release forbids it: take those of this one (deploy/seccomp.json, "
            "deploy/systemd/holdfast.service)",
            code="host-name-forbidden",
        )


def check_writable(directories: Iterable[Path]) -> None:
    """See that each directory is there, or can be made, and can be written to. Raises MountError."""
    for directory in directories:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
        except OSError as error:
            raise MountError(
                f"{directory} cannot be written to: {error.strerror}",
                f"the root filesystem of the container is read-only; give it a tmpfs there: --tmpfs {directory}",
                code="not-writable",
            ) from error


def mount_refused(what: object, error: OSError) -> MountError:
    """Return the error that says who has refused a mount: security modules and seccomp answer unlike the kernel."""
    if isinstance(error, PermissionError):
        return MountError(
            f"{what} cannot be mounted: {error.strerror}",
            "a security module or a seccomp profile forbids it: start the container with compose.yaml, or with "
            "--security-opt apparmor=unconfined (SELinux: --security-opt label=disable) and Docker's own seccomp "
            "profile; `dmesg` on the host names the rule",
            code="mount-forbidden",
        )
    return MountError(f"{what} cannot be mounted: {error.strerror}", "see what `dmesg` on the host says of it")
