"""Making the kernel forget what it knows of one mount's names and inodes, and of no other's."""

from __future__ import annotations

from pathlib import Path

from appliance.linux import mounts


def evict(mountpoint: Path) -> None:
    """Drop every name and inode of the FUSE mount that nobody has open. Raises OSError.

    Any change of a superblock's flags begins with shrink_dcache_sb(), also one that changes nothing; and FUSE's inodes
    go when their last name goes (generic_delete_inode). What knfsd has open for clients stays, as it must. The flags
    are those of the mount, so that it does not lose them.
    """
    mounts.mount("none", mountpoint, "none", mounts.MS_REMOUNT | mounts.MS_NOSUID | mounts.MS_NODEV)
