"""File operations that Python's os module does not offer, or not on O_PATH descriptors."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from appliance.linux import libc
from appliance.linux.handles import AT_EMPTY_PATH

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
UTIME_OMIT = (1 << 30) - 2


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_TimespecPair = _Timespec * 2

_utimensat = libc.function("utimensat", ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_Timespec), ctypes.c_int)
_fchownat = libc.function("fchownat", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)
_linkat = libc.function("linkat", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
_renameat2 = libc.function("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

_UNCHANGED = 0xFFFFFFFF  # (uid_t) -1


def proc_path(descriptor: int) -> str:
    """Return the path whose look-up ends at the descriptor's own file, even for a symbolic link."""
    return f"/proc/self/fd/{descriptor}"


def chown(descriptor: int, uid: int | None, gid: int | None) -> None:
    """Change owner and group of the file behind an O_PATH descriptor; None leaves one as it is."""
    _fchownat(descriptor, b"", _UNCHANGED if uid is None else uid, _UNCHANGED if gid is None else gid, AT_EMPTY_PATH)


def set_times(descriptor: int, atime_ns: int | None, mtime_ns: int | None) -> None:
    """Set access and modification time, in nanoseconds since the epoch, behind an O_PATH descriptor."""
    times = _TimespecPair(_timespec(atime_ns), _timespec(mtime_ns))
    _utimensat(descriptor, b"", times, AT_EMPTY_PATH)


def _timespec(nanoseconds: int | None) -> _Timespec:
    if nanoseconds is None:
        return _Timespec(0, UTIME_OMIT)
    return _Timespec(*divmod(nanoseconds, 1_000_000_000))


def chmod(descriptor: int, mode: int) -> None:
    """Change the mode behind an O_PATH descriptor (fchmodat2 came only with Linux 6.6, the /proc path is as good)."""
    os.chmod(proc_path(descriptor), mode)


def link(descriptor: int, directory: int, name: bytes) -> None:
    """Give the file behind an O_PATH descriptor one more name. Needs CAP_DAC_READ_SEARCH."""
    _linkat(descriptor, b"", directory, name, AT_EMPTY_PATH)


def rename(old_directory: int, old_name: bytes, new_directory: int, new_name: bytes, flags: int) -> None:
    """renameat2(2), with RENAME_NOREPLACE or RENAME_EXCHANGE."""
    _renameat2(old_directory, old_name, new_directory, new_name, flags)


def replace(path: Path, data: bytes, mode: int = 0o600, group: int = -1) -> None:
    """Put a file in the place of the one of that name: readers find the old or the new one, and each of them whole.

    It outlives a cut of the power from the moment of return. `group` is its group if not -1. Raises OSError.
    """
    prepare_replacement(path, data, mode, group)
    commit_replacement(path)


def prepare_replacement(path: Path, data: bytes, mode: int = 0o600, group: int = -1) -> None:
    """Write and sync what `commit_replacement` puts at `path`: what can lack room has been done then."""
    draft = _draft(path)
    draft.unlink(missing_ok=True)  # a leftover may have another mode
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(data)  # all of it, where os.write() may stop half-way
        file.flush()
        os.fsync(descriptor)


def commit_replacement(path: Path) -> None:
    """Put what was prepared for `path` there."""
    os.rename(_draft(path), path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # a cut of the power would otherwise bring the old file back
    finally:
        os.close(directory)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
