"""The connection: one /dev/fuse descriptor and its mount, owned by a process that serves no request.

The mount lives as long as somebody holds the descriptor. Workers come and go without the kernel noticing, because
mount(2) and FUSE_INIT happen here, once, and not in libfuse.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path

from appliance.errors import KernelError, MountError, PermissionMissing
from appliance.fuse import protocol
from appliance.linux import mounts

FILESYSTEM_TYPE = "fuse.holdfast"
_INIT_TIMEOUT_MS = 10_000


class Connection:
    """An open, negotiated connection to the kernel's FUSE and the place where it is mounted."""

    def __init__(self, descriptor: int, init_request: bytes, mountpoint: Path) -> None:
        self.fd = descriptor
        self.init_request = init_request
        self.mountpoint = mountpoint

    @classmethod
    def mount(cls, mountpoint: Path, name: str) -> Connection:
        """Mount a new connection at `mountpoint`; `name` is what mount(8) shows as its device.

        Requests wait until a worker attaches. Raises PermissionMissing, KernelError or MountError.
        """
        descriptor = _open_device()
        try:
            _mount(descriptor, mountpoint, name)
            try:
                init_request = _negotiate(descriptor)
            except BaseException:
                mounts.umount(mountpoint, mounts.MNT_DETACH)
                raise
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, init_request, mountpoint)

    def unmount(self, *, lazy: bool = False) -> None:
        """Unmount; `lazy` detaches a mount that is in use. Blocks while a request of its own is unanswered.

        Raises MountError when the mount is busy. Nothing mounted there any more counts as done.
        """
        try:
            mounts.umount(self.mountpoint, mounts.MNT_DETACH if lazy else 0)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise MountError(
                    f"{self.mountpoint} is in use", f"see who with: fuser -vm {self.mountpoint}", code="busy"
                ) from error
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise MountError(f"cannot unmount {self.mountpoint}: {error.strerror}") from error

    def close(self) -> None:
        """Give up the descriptor. If it was the last one, the kernel ends the connection."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open_device() -> int:
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise KernelError("/dev/fuse does not exist", "on the host: modprobe fuse", code="no-fuse") from error
    except PermissionError as error:
        raise PermissionMissing(
            "/dev/fuse may not be opened", "give the container the device: --device /dev/fuse", code="no-fuse"
        ) from error


def _mount(descriptor: int, mountpoint: Path, name: str) -> None:
    try:
        mode = stat.S_IFMT(mountpoint.stat().st_mode)
        options = f"fd={descriptor},rootmode={mode:o},user_id=0,group_id=0,allow_other,default_permissions"
        mounts.mount(name, mountpoint, FILESYSTEM_TYPE, mounts.MS_NOSUID | mounts.MS_NODEV, options)
    except FileNotFoundError as error:
        raise MountError(f"the mount point {mountpoint} does not exist", f"mkdir -p {mountpoint}") from error
    except PermissionError as error:
        raise PermissionMissing(
            f"mounting at {mountpoint} is not permitted", "run as root with CAP_SYS_ADMIN"
        ) from error
    except OSError as error:
        hint = "an old mount is left there: umount -l" if error.errno == errno.ENOTCONN else ""
        raise MountError(f"cannot mount at {mountpoint}: {error.strerror}", hint) from error


def _negotiate(descriptor: int) -> bytes:
    """Answer the kernel's FUSE_INIT and return the raw request, which each worker's libfuse is shown again."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(_INIT_TIMEOUT_MS):
        raise KernelError("the kernel sent no FUSE_INIT within 10 seconds")
    request = os.read(descriptor, protocol.MAX_WRITE + protocol.PAGE_SIZE)
    init = protocol.InitRequest.parse(request)
    if init.missing:
        raise KernelError(
            f"this kernel's FUSE lacks {init.missing!r}", "Linux 6.9 or newer is needed", code="old-kernel"
        )
    os.write(descriptor, init.answer())
    return request
