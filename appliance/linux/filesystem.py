"""What tells one filesystem from another: ioctl(2) on any of its files."""

from __future__ import annotations

import errno
import fcntl

_GETFSUUID = 0x80111500  # FS_IOC_GETFSUUID: _IOR(0x15, 0, struct fsuuid2), Linux 6.9
_UUID_SIZE = 16


def uuid(descriptor: int) -> bytes:
    """Return the uuid of an open file's filesystem, empty if it has none or does not tell. Raises OSError."""
    found = bytearray(1 + _UUID_SIZE)  # struct fsuuid2: the length, and as many bytes
    try:
        fcntl.ioctl(descriptor, _GETFSUUID, found)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            return b""
        raise
    return bytes(found[1 : 1 + found[0]])
