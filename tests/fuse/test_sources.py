"""What may be a source, and what of it is not shared: mounts below it, symbolic links, what lies above."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.errors import SourceError
from appliance.fuse.source import Source
from appliance.linux import dirents
from tests.support.commands import run
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import ONE_PER_CODEC, Filesystem
from tests.support.janitor import Janitor
from tests.support.patience import until
from tests.support.posix.files import content, make, opened
from tests.support.witness import drop_caches, faults, mark, opened_root, outcome, take

pytestmark = pytest.mark.fuse

FILESYSTEMS = ONE_PER_CODEC  # mounts are the kernel's, whatever is on them


@contextmanager
def _serving(source: Path, work: Path, watch: Janitor, log: Path) -> Iterator[Daemon]:
    with daemon(source, work / f"{log.parent.name}.mount", log, watch) as running:
        yield running


@contextmanager
def _mounted(place: Path, *mount: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    run("mount", *mount, place)
    try:
        yield
    finally:
        run("umount", place)


@pytest.fixture
def inner(disk: Filesystem) -> Iterator[Path]:
    """A directory of the source with a filesystem mounted on top, which covers the file `below` by `above`."""
    place = disk.source / "covered"
    place.mkdir()
    make(bytes(place / "below"), b"below")
    with _mounted(place, "-t", "tmpfs", "tmpfs"):
        make(bytes(place / "above"), b"above")
        yield place


def test_a_mount_below_the_source_is_not_crossed(
    inner: Path, disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    with _serving(disk.source, work, watch, tmp_path / "log") as running:
        seen = running.mountpoint / inner.name
        assert os.listdir(seen) == ["below"]
        assert content(bytes(seen / "below")) == b"below"
        assert outcome(os.stat, seen / "above") == "ENOENT"
        assert os.stat(seen).st_dev == os.stat(running.mountpoint).st_dev
        make(bytes(seen / "made"), b"made")
        assert os.listdir(inner) == ["above"], "nothing came to the filesystem on top"
        drop_caches()
        assert sorted(os.listdir(seen)) == ["below", "made"]


def test_a_mount_made_later_is_not_crossed(disk: Filesystem, shared_daemon: Daemon, tmp_path: Path) -> None:
    place = disk.source / "covered-later"
    place.mkdir()
    make(bytes(place / "below"), b"below")
    mark(bytes(place / "below"))
    witness = take(shared_daemon.mountpoint, disk.source, b"covered-later/below")
    with _mounted(place, "-t", "tmpfs", "tmpfs"):
        drop_caches()
        assert os.listdir(shared_daemon.mountpoint / place.name) == ["below"]
        assert faults(shared_daemon.mountpoint, [witness]) == []


def test_a_symbolic_link_is_never_followed_by_a_worker(disk: Filesystem, shared_daemon: Daemon) -> None:
    """A local process puts links to the outside in the place of what a client knows as a file and a directory."""
    secret = disk.root / "data" / "behind-links"
    secret.mkdir()
    make(bytes(secret / "file"), b"secret", 0o600)
    top = disk.source / "links"
    (top / "directory").mkdir(parents=True)
    make(bytes(top / "file"), b"harmless", 0o644)
    seen = shared_daemon.mountpoint / top.name
    with opened(bytes(seen / "file"), os.O_RDWR) as file, opened(bytes(seen / "directory"), os.O_RDONLY) as directory:
        os.rename(top / "file", top / "file.was")
        os.rename(top / "directory", top / "directory.was")
        os.symlink(secret / "file", top / "file")
        os.symlink(secret, top / "directory")
        assert os.pread(file, 100, 0) == b"harmless"
        os.pwrite(file, b"HARMLESS", 0)
        os.fchmod(file, 0o640)
        os.utime(file, (7, 7))
        os.ftruncate(file, 3)
        assert os.listdir(directory) == []
        assert outcome(lambda: os.stat("file", dir_fd=directory)) == "ENOENT"
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    # On the links themselves, as whoever owns them may: none of it goes through.
    until(lambda: stat.S_ISLNK(os.lstat(seen / "file").st_mode), "the new link is not seen")
    os.chown(seen / "file", 1001, 1002, follow_symlinks=False)
    os.utime(seen / "file", (9, 9), follow_symlinks=False)
    os.link(seen / "file", seen / "second", follow_symlinks=False)
    os.rename(seen / "second", seen / "third")
    os.unlink(seen / "third")
    assert os.readlink(seen / "file") == os.fspath(secret / "file")
    # An open of the link by its handle would, in a worker that followed it, open the secret.
    with opened_root(shared_daemon.mountpoint) as root:
        assert outcome(lambda: os.open(f"{top.name}/file", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=root)) == "ELOOP"
    found = os.lstat(secret / "file")
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_size) == (0o600, 0, 6)
    assert found.st_mtime > 9
    assert os.listdir(secret) == ["file"]
    assert content(bytes(top / "file.was")) == b"HAR"
    assert os.listdir(top / "directory.was") == ["new"]


def test_the_parent_of_the_root_is_the_root(disk: Filesystem, shared_daemon: Daemon) -> None:
    with opened_root(shared_daemon.mountpoint) as root:
        entries = {entry.name: entry.inode for entry in dirents.read_entries(root)}
        assert entries[b".."] == entries[b"."] == os.fstat(root).st_ino
    outside = {os.stat(disk.source.parent).st_ino, os.stat(disk.source).st_ino} - {1}
    assert entries[b".."] not in outside


def test_the_root_of_a_filesystem_is_a_source(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    """The source is itself a mount point."""
    with _serving(disk.root, work, watch, tmp_path / "log") as running:
        name = f"at-root-{tmp_path.name}"
        make(bytes(running.mountpoint / name), b"original")
        mark(bytes(disk.root / name))
        witness = take(running.mountpoint, disk.root, os.fsencode(name))
        running.kill_workers()
        drop_caches()
        assert faults(running.mountpoint, [witness]) == []
        os.unlink(running.mountpoint / name)
        assert not (disk.root / name).exists()


@pytest.mark.parametrize("read_only", [False, True], ids=["writable", "read-only"])
def test_a_bind_mount_is_a_source(
    read_only: bool, disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    top = disk.source / f"bound-{read_only}"
    top.mkdir()
    make(bytes(top / "file"), b"original")
    mark(bytes(top / "file"))
    place = work / f"{disk.kind}.bound"
    with _mounted(place, "--bind", str(top)):
        if read_only:
            run("mount", "-o", "remount,bind,ro", place)
        with _serving(place, work, watch, tmp_path / "log") as running:
            witness = take(running.mountpoint, top, b"file")
            drop_caches()
            assert faults(running.mountpoint, [witness]) == []
            writes = {
                "make": lambda: make(bytes(running.mountpoint / "new")),
                "mkdir": lambda: os.mkdir(running.mountpoint / "directory"),
                "write": lambda: os.close(os.open(running.mountpoint / "file", os.O_RDWR)),
                "chmod": lambda: os.chmod(running.mountpoint / "file", 0o600),
                "rename": lambda: os.rename(running.mountpoint / "file", running.mountpoint / "renamed"),
                "rename back": lambda: os.rename(running.mountpoint / "renamed", running.mountpoint / "file"),
            }
            answers = {label: outcome(write) for label, write in writes.items()}
            expected = dict.fromkeys(writes, "EROFS" if read_only else "fine")
            assert answers == expected | ({"rename back": "ENOENT"} if read_only else {})
            running.kill_workers()
            drop_caches()
            assert faults(running.mountpoint, [witness]) == []
    assert sorted(os.listdir(top)) == (["file"] if read_only else ["directory", "file", "new"])


@pytest.fixture
def roots(disk: Filesystem) -> Iterator[tuple[Path, ...]]:
    """A directory that sources are confined to, with links in it and a neighbour outside."""
    root = disk.source / "root"
    (root / "data").mkdir(parents=True)
    (disk.source / "outside").mkdir()
    for name, target in {
        "inside": "data", "up": "../outside", "upper": "data/../../outside", "absolute": str(root / "data"),
        "magic": "/proc/self/root",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    yield (disk.source / "elsewhere", root)
    run("rm", "-r", root, disk.source / "outside")


@pytest.mark.kinds("ext4")
@pytest.mark.parametrize("name", ["", "data", "inside"])
def test_a_source_that_lies_in_a_root_is_opened(roots: tuple[Path, ...], name: str) -> None:
    source = Source.open(roots[1] / name, roots=roots)
    found = os.stat(source.fd)
    source.close()
    assert (found.st_ino, found.st_dev) == (os.stat(roots[1] / name).st_ino, found.st_dev)


@pytest.mark.kinds("ext4")
@pytest.mark.parametrize("name", ["up", "upper", "absolute", "magic", "../outside"])
def test_no_symbolic_link_leads_out_of_the_roots(roots: tuple[Path, ...], name: str) -> None:
    with pytest.raises(SourceError) as caught:
        Source.open(roots[1] / name, roots=roots)
    assert caught.value.code == "source-outside"
    Source.open(roots[1] / "up", roots=(roots[1].parent,)).close()  # what is outside depends on the roots alone
