"""Opening a directory that lies below another one, whatever symbolic links somebody puts into the path meanwhile."""

from __future__ import annotations

import ctypes
import os

from appliance.linux import libc

_SYS_OPENAT2 = 437  # the same on every architecture that Linux has had since 5.6
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_directory(root: int, path: str) -> int:
    """Return an O_PATH descriptor of the directory at `path`, relative to the directory `root`.

    Symbolic links are followed for as long as they stay below `root`. Raises OSError: EXDEV for one that does not (an
    absolute one never does), ENOTDIR for what is no directory.
    """
    name = os.fsencode(path or ".") + b"\0"
    buffer = ctypes.create_string_buffer(name, len(name))
    how = _OpenHow(os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    return libc.syscall(
        _SYS_OPENAT2, root, ctypes.addressof(buffer), ctypes.addressof(how), ctypes.sizeof(how)
    )
