"""What the supervisor mounts beside the shares: the place for their mount points, rpc_pipefs, a stand-in for nfsd."""

from __future__ import annotations

import contextlib
from pathlib import Path

from appliance.linux import mounts
from appliance.nfs.daemons import PIPEFS
from appliance.supervisor import mountinfo
from appliance.supervisor.privileges import mount_refused

EXPORTS_DEVICE = "holdfast-exports"
NFSD = Path("/proc/fs/nfsd")  # a directory that the kernel's module makes
_NFSD_DEVICE = "holdfast-nfsd"
_EXPORTS_OPTIONS = "mode=0755,size=1m"
_FLAGS = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC


def mount_exports(root: Path) -> None:
    """Mount the tmpfs of the mount points, unless a predecessor has left it. Raises MountError."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not _is(root, "tmpfs", EXPORTS_DEVICE):
            mounts.mount(EXPORTS_DEVICE, root, "tmpfs", _FLAGS, _EXPORTS_OPTIONS)
        # What is mounted below it is a copy in nobody's namespace, so unmounting it here is enough.
        mounts.set_propagation(root, mounts.MS_PRIVATE)
    except OSError as error:
        raise mount_refused(root, error) from error


def unmount_exports(root: Path) -> None:
    """Unmount that tmpfs, and whatever is still below it."""
    for left in reversed(mountinfo.below(root)):
        with contextlib.suppress(OSError):
            mounts.umount(left.path, mounts.MNT_DETACH)
    if _is(root, "tmpfs", EXPORTS_DEVICE):
        with contextlib.suppress(OSError):
            mounts.umount(root, mounts.MNT_DETACH)


def mount_pipefs() -> None:
    """Mount rpc_pipefs, through which the kernel speaks to nfsdcld. Raises MountError."""
    try:
        PIPEFS.mkdir(parents=True, exist_ok=True)
        if not _is(PIPEFS, "rpc_pipefs"):
            mounts.mount("rpc_pipefs", PIPEFS, "rpc_pipefs", _FLAGS)
    except OSError as error:
        raise mount_refused(PIPEFS, error) from error


def unmount_pipefs() -> None:
    """Unmount it."""
    with contextlib.suppress(OSError):
        mounts.umount(PIPEFS, mounts.MNT_DETACH)


def mount_stand_in(nfsd: Path) -> None:
    """Put, where nfsd usually is mounted, a tmpfs with links to those of its files that daemons look for there.

    rpc.mountd asks `filehandle` for what it answers an NFSv3 MNT with. nfsd itself must not be mounted there, or the
    processes that have this mount namespace would hold it. Raises MountError.
    """
    try:
        if not _is(NFSD, "tmpfs", _NFSD_DEVICE):
            mounts.mount(_NFSD_DEVICE, NFSD, "tmpfs", _FLAGS, "mode=0755,size=64k")
        link = NFSD / "filehandle"
        link.unlink(missing_ok=True)
        link.symlink_to(nfsd / "filehandle")
    except OSError as error:
        raise mount_refused(NFSD, error) from error


def unmount_stand_in() -> None:
    """Unmount it."""
    if _is(NFSD, "tmpfs", _NFSD_DEVICE):
        with contextlib.suppress(OSError):
            mounts.umount(NFSD, mounts.MNT_DETACH)


def _is(path: Path, kind: str, device: str | None = None) -> bool:
    seen = mountinfo.at(path)
    return seen is not None and seen.kind == kind and device in (None, seen.device)
