"""Which backing ids a share's FUSE connection has in the kernel. Usage: backing_ids.py POOL_PID MOST.

Only by letting go of an id can be found out whether it is there. So this is for when there must be none: ids up to MOST
that were there after all are printed, and gone.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import sys
from pathlib import Path

_PIDFD_GETFD = 438
_CLOSE = 0x4004E502  # FUSE_DEV_IOC_BACKING_CLOSE
_libc = ctypes.CDLL(None, use_errno=True)


def _connection(pid: int) -> int:
    """Return a copy of the process's descriptor of /dev/fuse."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        if str(path.readlink()) == "/dev/fuse":
            copy: int = _libc.syscall(_PIDFD_GETFD, os.pidfd_open(pid), int(path.name), 0)
            if copy < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
            return copy
    raise FileNotFoundError(f"process {pid} has no /dev/fuse open")


def _was_there(connection: int, number: int) -> bool:
    try:
        fcntl.ioctl(connection, _CLOSE, struct.pack("=I", number))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def main() -> None:
    """Print them."""
    connection = _connection(int(sys.argv[1]))
    print("left:", *(number for number in range(1, int(sys.argv[2]) + 1) if _was_there(connection, number)))


if __name__ == "__main__":
    main()
