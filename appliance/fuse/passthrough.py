"""Whether the kernel reads and writes a share's files itself, or a worker does.

That takes a kernel whose FUSE passthrough can be relied on (Linux 6.12), libfuse 3.17, and our extension of pyfuse3
(`native/`), which is built only where libfuse is new enough. Decided once for each connection, since open files stay as
they are.
"""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any

from appliance.fuse.open_files import OpenFiles
from appliance.fuse.pool_events import DataPathStatus
from appliance.fuse.protocol import InitFlag, InitRequest
from appliance.fuse.scoreboard import Scoreboard
from appliance.linux import backing
from appliance.linux.process import CAP_FSETID, CAP_SYS_ADMIN, Raised

_MODULE = "holdfast_passthrough"
_FULL_PART = 64
# Linux 6.9 to 6.11 leave a file's size in the mount's inode as it was when a write makes it longer (mended in 6.12, of
# which no flag tells): knfsd's COPY of such a file copies nothing, and says that this is all.
_SIZES_KEPT = 41


class DataPath(IntEnum):
    """How files are read and written."""

    UNDECIDED = 0
    PASSTHROUGH = 1
    SWITCHED_OFF = 2
    OLD_KERNEL = 3
    OLD_LIBFUSE = 4
    STALE_SIZES = 5


_REASONS = {
    DataPath.UNDECIDED: "not decided yet",
    DataPath.SWITCHED_OFF: "passthrough is switched off",
    DataPath.OLD_KERNEL: "this kernel's FUSE has no passthrough",
    DataPath.STALE_SIZES: "this kernel's FUSE passthrough forgets that files grow; Linux 6.12 is needed for it",
    DataPath.OLD_LIBFUSE: "the extension for passthrough is not there: libfuse 3.17 or newer is needed to build it",
}


def decide(board: Scoreboard, init_request: bytes, *, wanted: bool) -> None:
    """Decide for a connection that nobody has decided for yet."""
    if board.data_path == DataPath.UNDECIDED:
        board.data_path = _decide(init_request, wanted=wanted)


def _decide(init_request: bytes, *, wanted: bool) -> DataPath:
    if not wanted:
        return DataPath.SWITCHED_OFF
    kernel = InitRequest.parse(init_request)
    if InitFlag.PASSTHROUGH not in kernel.offered:
        return DataPath.OLD_KERNEL
    if kernel.minor < _SIZES_KEPT:
        return DataPath.STALE_SIZES
    return DataPath.PASSTHROUGH if extended() else DataPath.OLD_LIBFUSE


def extended() -> bool:
    """Whether our extension of pyfuse3 is there. Without it open files are not counted either, see file_handles."""
    try:
        open_reply_type()
    except ImportError:
        return False
    return True


@cache
def open_reply_type() -> Callable[[int, int, Callable[[int], None]], Any]:
    """Return OpenReply of native/holdfast_passthrough.pyx. Raises ImportError where it was not built."""
    found: Callable[[int, int, Callable[[int], None]], Any] = importlib.import_module(_MODULE).OpenReply
    return found


def registry(board: Scoreboard, connection: int) -> OpenFiles:
    """Return the open files of a connection."""
    # The kernel writes with the rights of whoever makes an id. Without CAP_FSETID the source's filesystem clears setuid
    # and setgid at a write: the mount's does so as well, but not before it has heard that a file has got them.
    admin = Raised(CAP_SYS_ADMIN, without=frozenset({CAP_FSETID}))

    def register(descriptor: int) -> int:
        with admin:
            return backing.register(connection, descriptor)

    def release(backing_id: int) -> None:
        with admin:
            backing.release(connection, backing_id)

    return OpenFiles(board, register, release)


def is_setid(descriptor: int) -> bool:
    """Whether a file runs as its owner or group. Then a worker writes, so that root's own writes leave it so."""
    return bool(os.stat(descriptor).st_mode & (stat.S_ISUID | stat.S_ISGID))


def nearly_full(descriptor: int) -> bool:
    """Whether a file's filesystem has less than 1/64 of its space left for users.

    Then a worker writes: only it can wait for the blocks of what was just removed before it says ENOSPC.
    """
    found = os.fstatvfs(descriptor)
    return found.f_bavail * _FULL_PART < found.f_blocks


def status(board: Scoreboard, files: OpenFiles) -> DataPathStatus:
    """Tell how files are read and written."""
    path = DataPath(board.data_path)
    if path is not DataPath.PASSTHROUGH:
        counted = len(files) if extended() else None
        return DataPathStatus(passthrough=False, reason=_REASONS[path], open_files=counted)
    reason = ""
    if files.refusal:
        reason = f"some files go through a worker: the kernel refused a backing id, {os.strerror(files.refusal)}"
    return DataPathStatus(passthrough=True, reason=reason, open_files=len(files), backing_ids=files.ids)
