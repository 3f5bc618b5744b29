"""The POSIX table on the mount: what a check sees there is what it sees on the plain directory."""

from __future__ import annotations

import pytest

from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem
from tests.support.posix.journal import contrast, tree_entries
from tests.support.posix.table import CHECKS, run_check

pytestmark = pytest.mark.fuse

_NO_LSEEK = "pyfuse3 has no LSEEK, so the kernel takes the whole file for data"
_NO_SYS_ADMIN = "the workers have no CAP_SYS_ADMIN; NFS does not carry these attributes"
_KERNEL_RULE = "the kernel's fuse_setattr() looks at the group's execute bit only"

# (check, label) -> what the mount shows instead, and why that is so. Each is asserted: one that goes away is noticed.
DIFFERENCES: dict[tuple[str, str], tuple[object, str]] = {
    ("check_lseek_holes", "data"): (0, _NO_LSEEK),
    ("check_lseek_holes", "hole"): (2 << 20, _NO_LSEEK),
    ("check_open_nameless", "O_TMPFILE"): ("ENOTSUP", "pyfuse3 has no TMPFILE"),
    ("check_xattr_trusted", "set"): ("EPERM", _NO_SYS_ADMIN),
    ("check_xattr_trusted", "get"): ("ENODATA", _NO_SYS_ADMIN),
    ("check_xattr_trusted", "remove"): ("EPERM", _NO_SYS_ADMIN),
    ("check_xattr_trusted", "set security"): ("EPERM", _NO_SYS_ADMIN),
    ("check_xattr_trusted", "get security"): ("ENODATA", _NO_SYS_ADMIN),
    ("check_setgid_without_execution_cleared", "afterwards, mode of 'write-2767'"): ("-rwxrwSrwx 102767", _KERNEL_RULE),
    ("check_setgid_without_execution_cleared", "afterwards, mode of 'write-6666'"): ("-rw-rwSrw- 102666", _KERNEL_RULE),
}


@pytest.mark.parametrize("check", CHECKS)
def test_mount_shows_what_the_plain_directory_shows(check: str, disk: Filesystem, shared_daemon: Daemon) -> None:
    plain = run_check(check, disk.plain)
    mounted = run_check(check, shared_daemon.mountpoint)
    expected = [(label, DIFFERENCES.get((check, label), (value,))[0]) for label, value in plain]
    assert contrast(expected, mounted) == []
    # What the mount showed afterwards must also be what the source holds.
    behind = tree_entries(bytes(disk.source / check))
    assert contrast(mounted[-len(behind) :], behind) == []


def test_differences_are_of_checks_that_exist() -> None:
    assert {check for check, _ in DIFFERENCES} <= CHECKS.keys()
