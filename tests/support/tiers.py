"""Which tiers of tests this machine can run, and why not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

_FUSE_COMMANDS = ("mkfs.ext4", "e2fsck", "mount", "umount", "setfacl", "getfacl")
_VM_COMMANDS = ("qemu-system-x86_64", "mmdebstrap", "buildah", "mke2fs", "ssh")


def fuse_obstacle() -> str | None:
    """Return what keeps the FUSE tier from running here, None when nothing does."""
    if os.geteuid() != 0:
        return "the FUSE tier needs root: it makes loop filesystems and opens files by handle"
    if not Path("/dev/fuse").exists():
        return "the FUSE tier needs /dev/fuse: modprobe fuse"
    if not Path("/dev/loop-control").exists():
        return "the FUSE tier needs loop devices: modprobe loop"
    missing = [command for command in _FUSE_COMMANDS if shutil.which(command) is None]
    if missing:
        return f"the FUSE tier needs {', '.join(missing)}: apt-get install e2fsprogs mount acl"
    return None


def vm_obstacle() -> str | None:
    """Return what keeps the VM tier from running here, None when nothing does."""
    if os.geteuid() != 0:
        return "the VM tier needs root: it makes a system image from Debian's packages"
    missing = [command for command in _VM_COMMANDS if shutil.which(command) is None]
    if missing:
        return f"the VM tier needs {', '.join(missing)}: make test installs them"
    return None


# Tier's marker -> what stands in its way. A tier without an entry always runs.
OBSTACLES: dict[str, Callable[[], str | None]] = {"fuse": fuse_obstacle, "vm": vm_obstacle}
