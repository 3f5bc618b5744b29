"""What the running kernel can do, asked of the kernel itself: distributions backport, so versions prove nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from appliance.errors import HoldfastError
from appliance.fuse.connection import Connection
from appliance.fuse.protocol import InitFlag, InitRequest
from appliance.linux import mounts
from deploy.commands import succeeds
from deploy.preflight.finding import Finding, failed, note, ok, unknown

ROOT = Path("/")
_AS_ROOT = "sudo holdfast-deploy preflight"
_NEEDED = {"fuse": "FUSE", "nfsd": "NFS server"}


def look() -> list[Finding]:
    """Return what is found of modules, /dev/fuse, FUSE's features and the NFS server."""
    return [*(module(name, what) for name, what in _NEEDED.items()), device(), fuse_features(), nfsd_versions()]


def module(name: str, what: str, root: Path = ROOT) -> Finding:
    """Look whether the kernel has a filesystem type, or a module on this host that brings it."""
    subject = f"module {name}"
    if name in (root / "proc/filesystems").read_text().split():
        return ok(subject, f"the kernel has its {what}")
    release = os.uname().release
    if succeeds(("modprobe", "--dry-run", "--quiet", name)):
        return ok(subject, f"{what}: a module of this host, which the kernel loads by itself when the appliance asks")
    return failed(subject, f"the kernel {release} has no {what}, built in or as a module of this host",
                  f"apt-get install linux-image-{_architecture()}  # and boot it; cloud kernels often lack {name}")


def device(path: Path = Path("/dev/fuse")) -> Finding:
    """Look at /dev/fuse."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return failed(str(path), "there is no such device", "modprobe fuse")
    except OSError as error:
        return failed(str(path), f"it cannot be opened: {error.strerror}", _AS_ROOT)
    return ok(str(path), "it can be opened")


def fuse_features() -> Finding:
    """Mount a FUSE filesystem for a moment and read what the kernel offers."""
    subject = f"FUSE of {os.uname().release}"
    if os.geteuid() != 0:
        return unknown(subject, "only root can ask the kernel for its features", _AS_ROOT)
    with tempfile.TemporaryDirectory() as directory:
        try:
            connection = Connection.mount(Path(directory), "preflight")
        except HoldfastError as error:
            return failed(subject, error.message, f"apt-get install linux-image-{_architecture()}  # {error.hint}")
        try:
            offered = InitRequest.parse(connection.init_request).offered
        finally:
            connection.close()  # without a server the kernel answers all it may ask with an error
            connection.unmount(lazy=True)
    wanted = [flag.name for flag in InitFlag if flag not in offered]
    if wanted:
        return note(subject, f"it has what is needed, and lacks {', '.join(filter(None, wanted))}")
    return ok(subject, "it has all features, RESEND among them")


def nfsd_versions() -> Finding:
    """Read which NFS versions the kernel's server has."""
    subject = "NFS versions"
    if os.geteuid() != 0:
        return unknown(subject, "only root can ask the kernel's NFS server", _AS_ROOT)
    try:
        if not mounts.has("nfsd"):
            return failed(subject, "the NFS server is not there to be asked", "modprobe nfsd  # tells why")
        text = _versions()
    except OSError as error:
        return unknown(subject, f"nfsd cannot be mounted: {error.strerror}", _AS_ROOT)
    return judge_versions(text)


def judge_versions(text: str) -> Finding:
    """Judge the text of nfsd's file `versions`, as in `-2 +3 +4 +4.1 +4.2`."""
    known = sorted(word.lstrip("+-") for word in text.split())
    if missing := {"4.1", "4.2"} - set(known):
        return failed("NFS versions", f"the kernel's server has no NFSv{' and NFSv'.join(sorted(missing))}",
                      f"apt-get install linux-image-{_architecture()}  # a kernel with CONFIG_NFSD_V4")
    three = "" if "3" in known else "; NFSv3 is not there, HOLDFAST_NFS_V3 has to stay off"
    return ok("NFS versions", f"the kernel's server has {', '.join(known)}{three}")


def _versions() -> str:
    usual = Path("/proc/fs/nfsd/versions")
    if usual.exists():
        return usual.read_text()
    # Mounted nowhere, and no server of this host can be running: it would have had nfsd at its usual place.
    tree = mounts.detached("nfsd")
    try:
        descriptor = os.open("versions", os.O_RDONLY | os.O_CLOEXEC, dir_fd=tree)
    finally:
        os.close(tree)
    with os.fdopen(descriptor) as file:
        return file.read()


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
