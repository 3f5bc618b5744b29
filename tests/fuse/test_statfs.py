"""The mount's free space is the source's, now and not a while ago."""

from __future__ import annotations

import os

import pytest

from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem

pytestmark = pytest.mark.fuse

_SIZE = 20_000_000
_ATTEMPTS = 10


def _free(path: str | os.PathLike[str]) -> int:
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize


def test_free_space_follows_use(disk: Filesystem, shared_daemon: Daemon) -> None:
    # What was deleted before may be given back only now, xfs does so in the background: then it is tried again.
    for attempt in range(_ATTEMPTS):
        path = shared_daemon.mountpoint / f"statfs-{attempt}"
        before = _free(shared_daemon.mountpoint)
        with path.open("wb") as file:
            file.write(os.urandom(_SIZE))
            os.fsync(file.fileno())
        os.sync()  # btrfs counts at the end of a transaction
        behind, mounted = _free(disk.source), _free(shared_daemon.mountpoint)
        # The filesystem frees and allocates a little in the background.
        if abs(mounted - behind) < _SIZE // 10 and mounted < before - _SIZE // 2:
            return
    pytest.fail(f"{_SIZE} bytes were never seen to be used, there {behind} and here {mounted} are free")
