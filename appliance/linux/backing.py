"""Backing files: what lets the kernel's FUSE read and write a file without asking user space (Linux 6.9).

Needs CAP_SYS_ADMIN in the initial user namespace.
"""

from __future__ import annotations

import errno
import fcntl
import struct

_OPEN = 0x4010E501  # FUSE_DEV_IOC_BACKING_OPEN: _IOW(229, 1, struct fuse_backing_map)
_CLOSE = 0x4004E502  # FUSE_DEV_IOC_BACKING_CLOSE: _IOW(229, 2, uint32_t)
_MAP = struct.Struct("=iIQ")  # struct fuse_backing_map: fd, flags, padding
_ID = struct.Struct("=I")


def register(connection: int, descriptor: int) -> int:
    """Return the id, at least 1, by which answers on this connection may name the file behind a descriptor.

    The kernel then reads and writes it as whoever makes this call. Raises OSError: ELOOP for a file of a filesystem
    that is stacked on another itself, EOPNOTSUPP for what cannot be read and written, EPERM without the right.
    """
    # Only for a mutable buffer does fcntl.ioctl return the kernel's result.
    return int(fcntl.ioctl(connection, _OPEN, bytearray(_MAP.pack(descriptor, 0, 0))))


def release(connection: int, backing_id: int) -> bool:
    """Let go of an id, and tell whether it was there; what is open through it stays so. Raises OSError."""
    try:
        fcntl.ioctl(connection, _CLOSE, _ID.pack(backing_id))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTCONN, errno.ENODEV):  # also when the connection has ended
            return False
        raise
    return True
