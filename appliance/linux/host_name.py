"""The name of the host, as one process and its children see it."""

from __future__ import annotations

import ctypes
import socket

from appliance.linux import libc

_CLONE_NEWUTS = 0x04000000

_unshare = libc.function("unshare", ctypes.c_int)


def set_here(name: str) -> None:
    """Give the host another name, of at most 64 bytes, in a UTS namespace of its own. Raises OSError.

    For processes of one thread: unshare(2) moves the calling thread only. Needs CAP_SYS_ADMIN.
    """
    _unshare(_CLONE_NEWUTS)
    socket.sethostname(name)
