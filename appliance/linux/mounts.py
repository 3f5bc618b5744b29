"""mount(2) and its relatives."""

from __future__ import annotations

import ctypes
import errno
import os

from appliance.linux import libc

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_REC = 0x4000
MS_PRIVATE = 1 << 18

MNT_DETACH = 2

AT_FDCWD = -100
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
# The same numbers on every architecture.
_SYS_OPEN_TREE = 428
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432

_mount = libc.function("mount", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_umount2 = libc.function("umount2", ctypes.c_char_p, ctypes.c_int)


def mount(source: str, target: str | os.PathLike[str], kind: str, flags: int = 0, options: str = "") -> None:
    """Mount a filesystem of the type `kind`. Raises OSError. Needs CAP_SYS_ADMIN."""
    _mount(source.encode(), os.fsencode(target), kind.encode(), flags, options.encode())


def umount(target: str | os.PathLike[str], flags: int = 0) -> None:
    """Unmount what is mounted on top at `target`. Raises OSError, EBUSY while it is in use."""
    _umount2(os.fsencode(target), flags)


def set_propagation(target: str | os.PathLike[str], flags: int) -> None:
    """Set how what is mounted below `target` spreads, MS_PRIVATE for not at all (MS_REC: below its submounts, too)."""
    _mount(b"none", os.fsencode(target), None, flags, None)


def open_tree_clone(path: str | os.PathLike[str]) -> int:
    """Return an O_PATH descriptor of a private copy of the mount at `path`, without the mounts below it.

    The copy is attached nowhere and lives as long as a descriptor below it. Needs CAP_SYS_ADMIN.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    return libc.syscall(_SYS_OPEN_TREE, AT_FDCWD, ctypes.addressof(name), flags)


def detached(kind: str) -> int:
    """Return an O_PATH descriptor of a new mount of this type that is attached nowhere.

    The mount lives as long as the descriptor. Raises OSError, ENODEV for a type that the kernel does not know. Needs
    CAP_SYS_ADMIN.
    """
    name = ctypes.create_string_buffer(kind.encode())
    context = libc.syscall(_SYS_FSOPEN, ctypes.addressof(name), _FSOPEN_CLOEXEC)
    try:
        libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, 0, 0, 0)
        return libc.syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def has(kind: str) -> bool:
    """Whether the kernel has filesystems of this type.

    To ask for one makes the kernel load the module that brings it, with the host's modprobe and modules, from wherever
    it is asked (get_fs_type(), MODULE_ALIAS_FS). Raises OSError; needs CAP_SYS_ADMIN.
    """
    name = ctypes.create_string_buffer(kind.encode())
    try:
        os.close(libc.syscall(_SYS_FSOPEN, ctypes.addressof(name), _FSOPEN_CLOEXEC))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
    return True
