"""What the mount shows differently from the plain directory, and why. Each is asserted: one that goes is noticed."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.filesystems import KINDS


@dataclass(frozen=True)
class Difference:
    """What a label of a check is on the mount, on some kinds of filesystem."""

    check: str
    label: str
    mounted: object
    why: str
    kinds: frozenset[str] = frozenset(KINDS)


@dataclass(frozen=True)
class Either:
    """Equal to each of some values: which it is depends on what a worker has cached."""

    values: frozenset[object]

    def __eq__(self, other: object) -> bool:
        return other in self.values


_GONE = Either(frozenset({"ESTALE", "ENOENT"}))

_NO_LSEEK = "pyfuse3 has no LSEEK, so the kernel takes the whole file for data"
_NO_TMPFILE = "pyfuse3 has no TMPFILE"
_NO_SYS_ADMIN = "the workers have no CAP_SYS_ADMIN; NFS does not carry these attributes"
_GROUP_EXECUTE = "the kernel's fuse_setattr() looks at the group's execute bit only"
_ALWAYS_TIMES = "SETATTR does not tell truncate(2), which leaves the times if the size stays, from ftruncate(2)"
_REMOVED = "overlayfs opens no handle of a removed directory, even while somebody is in it"

_CHANGED_ONLY = frozenset({"xfs", "xfs-inode32", "xfs-grown", "btrfs", "btrfs-subvolume"})
_OVERLAY = frozenset({"overlay"})

_SETGID = "check_setgid_without_execution_cleared"
_SAME_SIZE = "check_truncate_moves_the_times"

DIFFERENCES = (
    Difference("check_lseek_holes", "data", 0, _NO_LSEEK),
    Difference("check_lseek_holes", "hole", 2 << 20, _NO_LSEEK),
    Difference("check_open_nameless", "O_TMPFILE", "ENOTSUP", _NO_TMPFILE),
    Difference("check_xattr_trusted", "set", "EPERM", _NO_SYS_ADMIN),
    Difference("check_xattr_trusted", "get", "ENODATA", _NO_SYS_ADMIN),
    Difference("check_xattr_trusted", "list by its owner", [], _NO_SYS_ADMIN),
    Difference("check_xattr_trusted", "remove", "EPERM", _NO_SYS_ADMIN),
    Difference("check_xattr_trusted", "set security", "EPERM", _NO_SYS_ADMIN),
    Difference("check_xattr_trusted", "get security", "ENODATA", _NO_SYS_ADMIN),
    Difference(_SETGID, "afterwards, mode of 'write-2767'", "-rwxrwSrwx 102767", _GROUP_EXECUTE),
    Difference(_SETGID, "afterwards, mode of 'write-6666'", "-rw-rwSrw- 102666", _GROUP_EXECUTE),
    Difference(_SAME_SIZE, "mtime, same size", True, _ALWAYS_TIMES, _CHANGED_ONLY),
    Difference(_SAME_SIZE, "ctime", True, _ALWAYS_TIMES, _CHANGED_ONLY),
    Difference("check_rmdir_of_the_current_directory", "create", _GONE, _REMOVED, _OVERLAY),
    Difference("check_rmdir_of_the_current_directory", "list", "ESTALE", _REMOVED, _OVERLAY),
    Difference("check_rmdir_of_the_current_directory", "fstat", "ESTALE", _REMOVED, _OVERLAY),
    Difference("check_rmdir_of_an_open_directory", "list", "ESTALE", _REMOVED, _OVERLAY),
    Difference("check_rmdir_of_an_open_directory", "create", _GONE, _REMOVED, _OVERLAY),
    Difference("check_rmdir_of_an_open_directory", "fstat", "ESTALE", _REMOVED, _OVERLAY),
    Difference("check_rmdir_of_an_open_directory", "list the old one", "ESTALE", _REMOVED, _OVERLAY),
)


def expected_on_mount(kind: str, check: str) -> dict[str, object]:
    """Return label -> value for where the mount differs."""
    return {found.label: found.mounted for found in DIFFERENCES if found.check == check and kind in found.kinds}
