"""A worker killed between the system call and its reply: the caller sees the one true result, the change is made once.

strace sits on the worker and kills it as it enters the writev(2) of its n-th reply, for every n that one operation
takes: so each of the requests it consists of is the one that is cut off, and nothing in the daemon knows of the test.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from appliance.linux import files
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import ONE_PER_CODEC, Filesystem
from tests.support.janitor import Janitor
from tests.support.killing import killed_at_reply, only_worker, replaced

pytestmark = pytest.mark.fuse

FILESYSTEMS = ONE_PER_CODEC  # recovery knows inodes by their node ids alone

_MOST_REPLIES = 25  # no operation below takes as many


@pytest.fixture
def lone_worker(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with one worker, so that it is known who gets the next request."""
    with daemon(disk.source, work / f"{disk.kind}.lone", tmp_path / "daemon.log", watch, workers=1) as running:
        yield running


def _mkdir(top: Path) -> None:
    os.mkdir(top / "made")
    assert os.listdir(top / "made") == []


def _mknod(top: Path) -> None:
    os.mknod(top / "made", 0o600)


def _create(top: Path) -> None:
    os.close(os.open(top / "made", os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def _symlink(top: Path) -> None:
    os.symlink("target", top / "made")
    assert os.readlink(top / "made") == "target"


def _link(top: Path) -> None:
    os.link(top / "old", top / "made")
    assert os.stat(top / "made").st_nlink == 2


def _unlink(top: Path) -> None:
    os.unlink(top / "old")
    assert not os.path.lexists(top / "old")


def _rmdir(top: Path) -> None:
    os.rmdir(top / "directory")
    assert not os.path.lexists(top / "directory")


def _rename(top: Path) -> None:
    os.rename(top / "old", top / "directory" / "new")
    assert os.listdir(top / "directory") == ["new"]


def _rename_over(top: Path) -> None:
    os.rename(top / "old", top / "other")
    assert (top / "other").read_bytes() == b"old"


def _rename_noreplace(top: Path) -> None:
    _renameat2(top, "old", "made", files.RENAME_NOREPLACE)
    assert (top / "made").read_bytes() == b"old"


def _exchange(top: Path) -> None:
    _renameat2(top, "old", "other", files.RENAME_EXCHANGE)
    assert (top / "old").read_bytes() == b"other"
    assert (top / "other").read_bytes() == b"old"


def _renameat2(top: Path, old: str, new: str, flags: int) -> None:
    descriptor = os.open(top, os.O_RDONLY)
    try:
        files.rename(descriptor, old.encode(), descriptor, new.encode(), flags)
    finally:
        os.close(descriptor)


def _xattr_create(top: Path) -> None:
    os.setxattr(top / "old", "user.made", b"value", os.XATTR_CREATE)
    assert os.getxattr(top / "old", "user.made") == b"value"


def _xattr_replace(top: Path) -> None:
    os.setxattr(top / "old", "user.given", b"value", os.XATTR_REPLACE)
    assert os.getxattr(top / "old", "user.given") == b"value"


def _xattr_remove(top: Path) -> None:
    os.removexattr(top / "old", "user.given")
    assert "user.given" not in os.listxattr(top / "old")


def _shrink_and_grow(top: Path) -> None:
    os.truncate(top / "old", 1)
    os.truncate(top / "old", 5)
    assert os.stat(top / "old").st_size == 5


def _owner_and_mode(top: Path) -> None:
    os.chown(top / "old", 12, 34)
    os.chmod(top / "old", 0o4711)
    assert os.stat(top / "old").st_mode == stat.S_IFREG | 0o4711


def _append(top: Path) -> None:
    descriptor = os.open(top / "old", os.O_WRONLY | os.O_APPEND)
    try:
        assert [os.write(descriptor, line) for line in (b"one ", b"two ", b"three")] == [4, 4, 5]
    finally:
        os.close(descriptor)


CHANGES = [
    *[_mkdir, _mknod, _create, _symlink, _link, _unlink, _rmdir],
    *[_rename, _rename_over, _rename_noreplace, _exchange],
    *[_xattr_create, _xattr_replace, _xattr_remove, _shrink_and_grow, _owner_and_mode, _append],
]


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__[1:] for change in CHANGES])
def test_each_change_is_made_once_whichever_reply_is_cut_off(
    lone_worker: Daemon, disk: Filesystem, change: Callable[[Path], None]
) -> None:
    top = lone_worker.mountpoint / change.__name__
    plain = disk.plain / change.__name__
    _prepare(plain)
    change(plain)
    for number in range(1, _MOST_REPLIES):
        _prepare(top)
        pid = only_worker(lone_worker)
        with killed_at_reply(number, pid):
            change(top)
        killed = replaced(lone_worker, pid)
        assert _tree(lone_worker.source / change.__name__) == _tree(plain)
        _clear(top)
        if not killed:
            assert number > 1, "no reply was cut off"
            return
    pytest.fail("the worker was killed however late")


def test_an_attribute_that_is_there_or_is_not_stays_an_error(lone_worker: Daemon) -> None:
    path = lone_worker.mountpoint / "attribute-errors"
    path.touch()
    os.setxattr(path, "user.there", b"")
    wrong = [
        (errno.EEXIST, partial(os.setxattr, path, "user.there", b"", os.XATTR_CREATE)),
        (errno.ENODATA, partial(os.setxattr, path, "user.missing", b"", os.XATTR_REPLACE)),
        (errno.ENODATA, partial(os.removexattr, path, "user.missing")),
    ]
    for expected, change in wrong:
        pid = only_worker(lone_worker)
        with killed_at_reply(1, pid), pytest.raises(OSError, match=os.strerror(expected)) as caught:
            change()
        assert caught.value.errno == expected
        assert replaced(lone_worker, pid), "no reply was cut off"


def _prepare(top: Path) -> None:
    top.mkdir()
    (top / "old").write_bytes(b"old")
    os.setxattr(top / "old", "user.given", b"")
    (top / "other").write_bytes(b"other")
    (top / "directory").mkdir()


def _tree(top: Path) -> dict[str, object]:
    """Return what is below `top`: kind, owner, extended attributes, and the contents of files."""
    found: dict[str, object] = {}
    for path in top.rglob("*"):
        status = path.lstat()
        names = os.listxattr(path, follow_symlinks=False)
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(top))] = (status.st_mode, status.st_uid, status.st_gid, attributes, content)
    return found


def _clear(top: Path) -> None:
    for path in sorted(top.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    top.rmdir()
