"""The POSIX table on the mount: what a check sees there is what it sees on the plain directory."""

from __future__ import annotations

import pytest

from tests.fuse.differences import DIFFERENCES, expected_on_mount
from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem
from tests.support.posix.journal import contrast, tree_entries
from tests.support.posix.table import CHECKS, run_check

pytestmark = pytest.mark.fuse

# How inode numbers become node ids makes no difference to what a program sees of a file.
FILESYSTEMS = ("ext4", "ext4-inode128", "xfs", "btrfs", "tmpfs", "overlay")


@pytest.mark.parametrize("check", CHECKS)
def test_mount_shows_what_the_plain_directory_shows(check: str, disk: Filesystem, shared_daemon: Daemon) -> None:
    plain = run_check(check, disk.plain)
    mounted = run_check(check, shared_daemon.mountpoint)
    differences = expected_on_mount(disk.kind, check)
    expected = [(label, differences.get(label, value)) for label, value in plain]
    assert contrast(expected, mounted) == []
    # What the mount showed afterwards must also be what the source holds.
    behind = tree_entries(bytes(disk.source / check))
    assert contrast(mounted[-len(behind) :], behind) == []


def test_differences_are_of_checks_that_exist() -> None:
    assert {difference.check for difference in DIFFERENCES} <= CHECKS.keys()
