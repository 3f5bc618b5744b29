"""Processes: names, capabilities, and the identity under which files are made."""

from __future__ import annotations

import ctypes
import os
import struct

from appliance.linux import libc

_PR_SET_NAME = 15
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SECBIT_NO_SETUID_FIXUP = 1 << 2

_CAPABILITY_VERSION_3 = 0x20080522

CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_FSETID = 4
CAP_SETGID = 6
CAP_SETUID = 7
CAP_LINUX_IMMUTABLE = 9
CAP_SYS_ADMIN = 21
CAP_MKNOD = 27
CAP_SETFCAP = 31

_prctl = libc.function("prctl", ctypes.c_int, *[ctypes.c_ulong] * 4)
_capset = libc.function("capset", ctypes.c_char_p, ctypes.c_char_p)
_capget = libc.function("capget", ctypes.c_char_p, ctypes.c_char_p)

# setfsuid(2) and setfsgid(2) have no error result: they return the id that was in force before.
_setfsuid = ctypes.CDLL(None).setfsuid
_setfsuid.argtypes = (ctypes.c_uint,)
_setfsgid = ctypes.CDLL(None).setfsgid
_setfsgid.argtypes = (ctypes.c_uint,)


def set_name(name: str) -> None:
    """Set the name that ps and the kernel's log show, cut to 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _prctl(_PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of the descendants of this process whose parent ends, as process 1 is anyway."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def forbid_new_privileges() -> None:
    """No execve(2) of this process or its children ever raises its privileges."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def effective_capabilities() -> frozenset[int]:
    """Return the numbers of the capabilities in force for this process."""
    data = ctypes.create_string_buffer(24)
    _capget(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), data)
    low, _, _, high, _, _ = struct.unpack("=6I", data.raw)
    bits = low | high << 32
    return frozenset(number for number in range(64) if bits >> number & 1)


def keep_capabilities(kept: frozenset[int]) -> None:
    """Drop every capability that is not in `kept` from all sets of this process, for good."""
    for number in range(64):
        if number not in kept:
            try:
                _prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
            except OSError:
                break  # past the last capability that this kernel knows
    bits = sum(1 << number for number in kept & effective_capabilities())
    low, high = bits & 0xFFFFFFFF, bits >> 32
    _capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), struct.pack("=6I", low, low, 0, high, high, 0))


def keep_capabilities_across_fsuid() -> None:
    """Let setfsuid(2) leave the capabilities alone: by default a non-zero id drops those over files."""
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)


class FileIdentity:
    """The user, group and umask under which this process makes files. One request at a time uses it."""

    def __init__(self) -> None:
        self._now = (0, 0, 0)
        self.assume(0, 0, 0)

    def assume(self, uid: int, gid: int, umask: int) -> None:
        """Make files as this user from now on; the change is remembered, so that a repeat costs nothing."""
        if (uid, gid, umask) == self._now:
            return
        _setfsgid(gid)
        _setfsuid(uid)
        os.umask(umask)
        self._now = (uid, gid, umask)
