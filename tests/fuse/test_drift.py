"""A check catches real drift, and calls it what it is."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuse.conftest import StartDaemon
from tests.support.commands import run
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.posix.files import make
from tests.support.views import checked, sampled, told
from tests.support.witness import drop_caches

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)
_NAMES = [Path("drift") / str(number) for number in range(12)]
_FS_IOC_GETVERSION = 0x80087601
_FS_IOC_SETVERSION = 0x40087602


@pytest.fixture
def old_ext4(work: Path) -> Iterator[Path]:
    """An ext4 whose inodes' generations can be set: without checksums that the generation would be part of."""
    root, image = work / "old-ext4", work / "old-ext4.img"
    root.mkdir(exist_ok=True)
    with _mounted(image, root):
        yield root / "source"


@contextmanager
def _mounted(image: Path, root: Path) -> Iterator[None]:
    image.write_bytes(b"")
    os.truncate(image, 64 << 20)
    run("mkfs.ext4", "-q", "-I", "256", "-O", "^metadata_csum", image)
    run("mount", "-o", "loop", image, root)
    try:
        (root / "source" / "drift").mkdir(parents=True)
        yield
    finally:
        run("umount", root)


def _fill(source: Path) -> None:
    for name in _NAMES:
        (source / name).parent.mkdir(exist_ok=True)
        make(bytes(source / name), bytes(name) * 3)


def _reuse_inode(source: Path, inode: int) -> Path:
    for number in range(2000):
        name = source / f"drift/again-{number}"
        make(bytes(name), b"another")
        if name.stat().st_ino == inode:
            return name
        time.sleep(0.01)  # it may not be free yet: the keeper looks a moment later whether anybody has it open
    pytest.fail(f"inode {inode} was not used again")


@contextmanager
def _faulty(source: Path, work: Path, watch: Janitor, tmp_path: Path, fault: str) -> Iterator[Daemon]:
    with daemon(source, work / f"faulty-{fault}", tmp_path / "log", watch, workers=1, fault=fault) as running:
        yield running


def test_codec_that_uses_node_ids_again(old_ext4: Path, work: Path, watch: Janitor, tmp_path: Path) -> None:
    _fill(old_ext4)
    with _faulty(old_ext4, work, watch, tmp_path, "inode-number") as running:
        samples = sampled(running, _NAMES)
        assert set(told(checked(running, samples)).values()) == {"same"}
        (running.mountpoint / _NAMES[3]).unlink()
        drop_caches()
        _reuse_inode(old_ext4, samples[3].inode)
        drop_caches()
        found = told(checked(running, samples))
    assert found.pop(str(_NAMES[3])) == "node-reused"
    assert set(found.values()) == {"same"}


def test_codec_that_forgets_its_order(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path) -> None:
    _fill(disk.source)
    with _faulty(disk.source, work, watch, tmp_path, "sequential") as running:
        samples = sampled(running, _NAMES)
        running.kill_workers()
        running.full_pool()
        drop_caches()
        for name in reversed(_NAMES):
            (running.mountpoint / name).stat()
        found = told(checked(running, samples))
    assert set(found.values()) <= {"another-file", "node-changed"}
    assert "another-file" in found.values()
    shutil.rmtree(disk.source / "drift")


def test_workers_with_a_wrong_key(disk: Filesystem, start: StartDaemon) -> None:
    _fill(disk.source)
    with start() as first:
        samples = sampled(first, _NAMES)
        state = first.mountpoint.with_name(f"{first.mountpoint.name}.state")
    right = (state / "key").read_bytes()
    (state / "key").write_bytes(bytes(32))
    with start() as second:
        drop_caches()
        assert set(told(checked(second, samples, right)).values()) == {"wrong-key"}
        # The same handles, but the share's own records have the other key too: nobody knows of a change.
        assert set(told(checked(second, samples)).values()) == {"key-changed"}
    (state / "key").write_bytes(right)
    shutil.rmtree(disk.source / "drift")


def test_file_replaced_under_a_kept_inode_number(
    old_ext4: Path, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    _fill(old_ext4)
    with daemon(old_ext4, work / "replaced", tmp_path / "log", watch) as running:
        samples = sampled(running, _NAMES)
        victim = old_ext4 / _NAMES[5]
        generation = _generation(victim)
        victim.unlink()
        running.kill_workers()  # they may have it open still
        drop_caches()
        impostor = _reuse_inode(old_ext4, samples[5].inode)
        _set_generation(impostor, generation)
        impostor.rename(victim)
        running.full_pool()
        drop_caches()
        found = told(checked(running, samples))
    assert found.pop(str(_NAMES[5])) == "replaced"
    assert set(found.values()) == {"same"}


def _generation(path: Path) -> int:
    with path.open("rb") as file:
        return int(struct.unpack("=i", fcntl.ioctl(file, _FS_IOC_GETVERSION, bytes(4)))[0])


def _set_generation(path: Path, generation: int) -> None:
    with path.open("rb") as file:
        fcntl.ioctl(file, _FS_IOC_SETVERSION, struct.pack("=i", generation))


def test_backup_restored_file_by_file(disk: Filesystem, own_daemon: Daemon) -> None:
    _fill(disk.source)
    samples = sampled(own_daemon, [Path("drift"), *_NAMES])
    run("cp", "-a", disk.source / "drift", disk.source / "backup")
    shutil.rmtree(disk.source / "drift")
    (disk.source / "backup").rename(disk.source / "drift")
    make(bytes(disk.source / "drift" / "never-sampled"))
    (disk.source / _NAMES[0]).unlink()  # not everything comes back
    own_daemon.kill_workers()
    own_daemon.full_pool()
    drop_caches()
    found = told(checked(own_daemon, samples))
    assert found.pop(str(_NAMES[0])) == "deleted"
    assert found.pop("drift") == "deleted", "its time has changed, so it is no copy"
    assert set(found.values()) == {"restored"}
    shutil.rmtree(disk.source / "drift")


def test_backup_restored_to_a_new_filesystem(work: Path, watch: Janitor, tmp_path: Path) -> None:
    root, image, mountpoint = work / "restored-ext4", work / "restored.img", work / "restored"
    root.mkdir()
    with _mounted(image, root):
        _fill(root / "source")
        with daemon(root / "source", mountpoint, tmp_path / "log", watch) as running:
            samples = sampled(running, [Path(), *_NAMES])
        run("cp", "-a", root / "source", tmp_path / "backup")
    with _mounted(image, root):
        (root / "source" / "drift").rmdir()
        make(bytes(root / "source" / "shift-the-inode-numbers"))
        run("cp", "-a", tmp_path / "backup" / "drift", root / "source")
        with daemon(root / "source", mountpoint, tmp_path / "log", watch) as running:
            findings = checked(running, samples)
    found = told(findings)
    assert found.pop("") == "source-replaced"
    assert set(found.values()) == {"restored"}
    assert "as is its whole filesystem" in findings[-1].verdict.reason


def test_changed_fsid(disk: Filesystem, own_daemon: Daemon) -> None:
    _fill(disk.source)
    samples = sampled(own_daemon, _NAMES)
    samples[4] = replace(samples[4], fsid="00000000-0000-0000-0000-000000000002")
    found = told(checked(own_daemon, samples))
    assert found.pop(str(_NAMES[4])) == "fsid-changed"
    assert set(found.values()) == {"same"}
    shutil.rmtree(disk.source / "drift")
