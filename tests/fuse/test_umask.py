"""Files are made with the umask of whoever asks, whatever umask the daemon was started under."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.children import in_child
from tests.support.daemon import daemon
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)


@pytest.mark.parametrize("umask", [0, 0o22])
def test_the_first_that_is_made_has_its_caller_s_umask(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path, umask: int
) -> None:
    """Of a worker that has not served anybody else yet."""

    def make(top: Path) -> int:
        os.umask(umask)
        (top / f"made-{umask:o}").mkdir(mode=0o777)
        return stat.S_IMODE((top / f"made-{umask:o}").stat().st_mode)

    before = os.umask(0o77)
    try:
        with daemon(disk.source, work / f"{disk.kind}.umask", tmp_path / "daemon.log", watch) as running:
            assert in_child(lambda: make(running.mountpoint)) == 0o777 & ~umask
    finally:
        os.umask(before)
