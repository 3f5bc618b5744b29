"""Processes: names, capabilities, and the identity under which files are made."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import struct
import subprocess

from appliance.linux import libc

_PR_SET_NAME = 15
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SECBIT_NO_SETUID_FIXUP = 1 << 2

_CAPABILITY_VERSION_3 = 0x20080522
_THIS_PROCESS = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of linux/proc_ns.h
_SETS = struct.Struct("=6I")  # effective, permitted, inheritable: the low halves, then the high ones

CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_FSETID = 4
CAP_SETGID = 6
CAP_SETUID = 7
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


def in_pid_namespace() -> bool:
    """Whether there is a process 1 of a container, with which the kernel kills all others of it."""
    return os.readlink("/proc/self/ns/pid") != _INITIAL_PID_NAMESPACE


def allow_descriptors() -> None:
    """Let this process and its children open as many files as its hard limit says; the soft one often says 1024."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def forbid_new_privileges() -> None:
    """No execve(2) of this process or its children ever raises its privileges."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def effective_capabilities() -> frozenset[int]:
    """Return the numbers of the capabilities in force for this process."""
    return _capabilities(0)


def _permitted_capabilities() -> frozenset[int]:
    return _capabilities(1)


def _capabilities(which: int) -> frozenset[int]:
    data = ctypes.create_string_buffer(_SETS.size)
    _capget(_THIS_PROCESS, data)
    words = _SETS.unpack(data.raw)
    bits = words[which] | words[which + 3] << 32
    return frozenset(number for number in range(64) if bits >> number & 1)


def _sets(effective: frozenset[int], permitted: frozenset[int]) -> bytes:
    bits = [sum(1 << number for number in chosen) for chosen in (effective, permitted)]
    return _SETS.pack(*(each & 0xFFFFFFFF for each in bits), 0, *(each >> 32 for each in bits), 0)


def keep_capabilities(kept: frozenset[int], asleep: frozenset[int] = frozenset()) -> None:
    """Drop every capability that is in neither set, for good. Those `asleep` are in force only while `Raised`."""
    for number in range(64):
        if number not in kept | asleep:
            try:
                _prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
            except OSError:
                break  # past the last capability that this kernel knows
    had = effective_capabilities()
    _capset(_THIS_PROCESS, _sets(kept & had, (kept | asleep) & had))


class Raised:
    """A capability that this process keeps asleep, in force for the time of a `with` block. To be used many times.

    Those in `without` are not in force meanwhile.
    """

    def __init__(self, capability: int, without: frozenset[int] = frozenset()) -> None:
        self._capability = capability
        self._without = without
        self._sets: tuple[bytes, bytes] | None = None

    def __enter__(self) -> None:
        if self._sets is None:  # read late: what this process keeps is settled after its parts are made
            effective, permitted = effective_capabilities(), _permitted_capabilities()
            raised = (effective | {self._capability}) - self._without
            self._sets = _sets(raised, permitted), _sets(effective, permitted)
        _capset(_THIS_PROCESS, self._sets[0])

    def __exit__(self, *_: object) -> None:
        assert self._sets is not None  # noqa: S101 - the block was entered
        _capset(_THIS_PROCESS, self._sets[1])


def keep_capabilities_across_fsuid() -> None:
    """Let setfsuid(2) leave the capabilities alone: by default a non-zero id drops those over files."""
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)


class FileIdentity:
    """The user, group and umask under which this process makes files. One request at a time uses it."""

    def __init__(self) -> None:
        os.umask(0)  # whatever it was for those who started this process
        self._now = (0, 0, 0)

    def assume(self, uid: int, gid: int, umask: int) -> None:
        """Make files as this user from now on; the change is remembered, so that a repeat costs nothing."""
        if (uid, gid, umask) == self._now:
            return
        _setfsgid(gid)
        _setfsuid(uid)
        os.umask(umask)
        self._now = (uid, gid, umask)


class Process:
    """A process, known by a descriptor, so that its number's next owner is never taken for it. Perhaps not a child."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """`child` is what has to be reaped, if the process is ours; it need not live any more."""
        self.pid = pid
        self._child = child
        self._descriptor = -1
        with contextlib.suppress(ProcessLookupError):
            self._descriptor = os.pidfd_open(pid)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False if `timeout` seconds have passed before."""
        if self._descriptor >= 0:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                return False
        if self._child:
            self._child.wait()
        return True

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended."""
        if self._descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
