"""The C library, its functions declared once: the only place where argument types are spelt.

Every function raises OSError with the kernel's errno, so that the modules beside this one are thin wrappers.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)


def _raise_errno(result: Any, _function: object, _arguments: object) -> Any:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def function(name: str, *argtypes: Any, restype: Any = ctypes.c_int) -> Any:
    """Declare the C function `name`; a result of -1 raises OSError."""
    declared = _libc[name]
    declared.argtypes = argtypes
    declared.restype = restype
    declared.errcheck = _raise_errno
    return declared


_syscall = function("syscall", ctypes.c_long, *[ctypes.c_long] * 6, restype=ctypes.c_long)


def syscall(number: int, *arguments: int) -> int:
    """Call system call `number`, one that the C library of Debian 12 has no function for."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    return int(_syscall(number, *padded))
