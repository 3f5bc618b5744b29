"""The directory that holds the shares' mount points: a tmpfs of ours, from which mounts reach the NFS side."""

from __future__ import annotations

import contextlib
from pathlib import Path

from appliance.errors import MountError
from appliance.linux import mounts
from appliance.supervisor import mountinfo

DEVICE = "holdfast-exports"
_OPTIONS = "mode=0755,size=1m"
_FLAGS = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC


def mount(root: Path) -> None:
    """Mount the tmpfs, unless a predecessor has left it. Raises MountError.

    Shared: the NFS side's namespace is a slave of this one and so sees what is mounted and unmounted below it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not _is_ours(root):
            mounts.mount(DEVICE, root, "tmpfs", _FLAGS, _OPTIONS)
        mounts.set_propagation(root, mounts.MS_SHARED)
    except OSError as error:
        raise MountError(f"cannot mount {root}: {error.strerror}", "run the container with --privileged") from error


def unmount(root: Path) -> None:
    """Unmount the tmpfs, and whatever is still below it."""
    for left in reversed(mountinfo.below(root)):
        with contextlib.suppress(OSError):
            mounts.umount(left.path, mounts.MNT_DETACH)
    if _is_ours(root):
        with contextlib.suppress(OSError):
            mounts.umount(root, mounts.MNT_DETACH)


def _is_ours(root: Path) -> bool:
    found = [mount for mount in mountinfo.parse(mountinfo.MOUNTINFO.read_text()) if mount.path == root]
    return bool(found) and found[-1].device == DEVICE
