"""Handles taken on a mount, and how one knows that a handle opens the same file and not merely some file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.linux import handles
from appliance.linux.files import proc_path
from appliance.linux.handles import NativeHandle
from tests.support.posix.files import content, opened

_BIRTH = "user.birth"


@dataclass(frozen=True)
class Witness:
    """One file, what it is known by, and the handle that must name it for ever."""

    name: bytes
    handle: NativeHandle  # on the mount
    native: NativeHandle  # on the source: inode number and generation
    inode: int  # st_ino on the mount
    birth: object  # what mark() gave to this file alone
    substance: object  # content, target or entries


@contextmanager
def opened_root(mountpoint: Path) -> Iterator[int]:
    """Open the root of a mount, for open_by_handle_at."""
    with opened(bytes(mountpoint), os.O_RDONLY | os.O_DIRECTORY) as root:
        yield root


def mark(path: bytes) -> None:
    """Give a file something that no other file has ever had: an attribute, or a time where there are no attributes."""
    mode = os.lstat(path).st_mode
    if _has_attributes(mode):
        os.setxattr(path, _BIRTH, os.urandom(16))
    else:
        os.utime(path, ns=(0, int.from_bytes(os.urandom(7), "little")), follow_symlinks=False)


def _has_attributes(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _birth(descriptor: int) -> object:
    found = os.fstat(descriptor)
    return os.getxattr(proc_path(descriptor), _BIRTH) if _has_attributes(found.st_mode) else found.st_mtime_ns


def take(mountpoint: Path, source: Path, name: bytes) -> Witness:
    """Take the handle of `name`, which must bear a mark, on the mount."""
    path, behind = os.path.join(bytes(mountpoint), name), os.path.join(bytes(source), name)
    with opened_root(mountpoint) as root, opened_root(source) as source_root:
        flags = handles.AT_EMPTY_PATH if not name else 0
        return Witness(
            name=name,
            handle=handles.name_to_handle(root, name, flags),
            native=handles.name_to_handle(source_root, name, flags),
            inode=os.lstat(path).st_ino,
            birth=_of(behind, _birth),
            substance=_of(path, _substance),
        )


def open_by_handle(root: int, handle: NativeHandle, flags: int = os.O_PATH | os.O_NOFOLLOW) -> int:
    """Open a file of the mount of which `root` is an open directory. Raises OSError."""
    return handles.open_by_handle(root, handle, flags)


def fault(root: int, witness: Witness) -> str | None:
    """Return what is wrong with the file that the handle opens now, None when it is the same file."""
    try:
        descriptor = open_by_handle(root, witness.handle)
    except OSError as error:
        return f"{witness.name!r}: {errno.errorcode[error.errno or 0]}"
    try:
        seen = {
            "inode": os.fstat(descriptor).st_ino == witness.inode,
            "birth": _birth(descriptor) == witness.birth,
            "substance": _substance(descriptor) == witness.substance,
        }
    except OSError as error:
        return f"{witness.name!r}: {errno.errorcode[error.errno or 0]}"
    finally:
        os.close(descriptor)
    wrong = [what for what, same in seen.items() if not same]
    return f"{witness.name!r}: another {', '.join(wrong)}" if wrong else None


def faults(mountpoint: Path, witnesses: list[Witness]) -> list[str]:
    """Return what is wrong with all of them."""
    with opened_root(mountpoint) as root:
        return [found for witness in witnesses if (found := fault(root, witness))]


def errno_of(root: int, handle: NativeHandle) -> str:
    """Return the name of the errno that opening the handle gives, "opened" when it gives none."""
    try:
        os.close(open_by_handle(root, handle))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "opened"


def outcome(act: Callable[..., object], *arguments: object) -> str:
    """Return the name of the errno that a call ends with, "fine" if with none."""
    try:
        act(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "fine"


def _of(path: bytes, look: Callable[[int], object]) -> object:
    with opened(path, os.O_PATH | os.O_NOFOLLOW) as descriptor:
        return look(descriptor)


def _substance(descriptor: int) -> object:
    """Return what the file is made of, by its type."""
    mode, path = os.fstat(descriptor).st_mode, proc_path(descriptor)
    if stat.S_ISREG(mode):
        return content(path)
    if stat.S_ISLNK(mode):
        return os.readlink(b"", dir_fd=descriptor)
    if stat.S_ISDIR(mode):
        return sorted(os.listdir(path))
    return stat.filemode(mode), os.fstat(descriptor).st_rdev


def drop_caches() -> None:
    """Have the kernel forget every inode and name that nobody uses."""
    Path("/proc/sys/vm/drop_caches").write_text("2")
