"""Storage that is full or broken: clients get the filesystem's own errno, and go on when there is room."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from appliance.linux.dirents import read_entries
from tests.support.children import Child, in_child
from tests.support.commands import run
from tests.support.daemon import daemon
from tests.support.janitor import Janitor
from tests.support.patience import SECONDS

pytestmark = pytest.mark.fuse

_MEBIBYTE = b"x" * (1 << 20)
_SMALL = 200 << 20  # bytes of the filesystem


@contextmanager
def _small(work: Path, kind: str) -> Iterator[Path]:
    """A filesystem of 200 MB, mounted; its root."""
    image, root = work / f"small.{kind}", work / f"small-{kind}"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(_SMALL)
    run(f"mkfs.{kind}", "-q", image)
    run("mount", "-o", "loop", image, root)
    try:
        yield root
    finally:
        run("umount", root)
        root.rmdir()
        image.unlink()


def _fill(path: Path, expected: int) -> int:
    """Write to a new file until there is no room; return how many bytes were taken."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(expected)) as caught:
            _write_on(descriptor)
        assert caught.value.errno == expected
        taken = os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)
    assert path.stat().st_size == taken, "what was taken is there"
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            assert data == _MEBIBYTE[: len(data)]
    return taken


def _write_on(descriptor: int) -> None:
    for _ in range(2 * _SMALL >> 20):
        os.write(descriptor, _MEBIBYTE)
        os.fsync(descriptor)


def _room_again(path: Path, other: Path, flush: Path | None) -> None:
    """Make room, and write into it."""
    path.unlink()
    if flush:  # btrfs lets go of a removed file's share of a quota when it commits, if nobody has it open
        deadline = time.monotonic() + SECONDS
        while not _has_room(other) and time.monotonic() < deadline:
            run("btrfs", "filesystem", "sync", flush)
    other.write_bytes(_MEBIBYTE * 20)
    assert other.read_bytes() == _MEBIBYTE * 20


def _has_room(path: Path) -> bool:
    try:
        path.write_bytes(_MEBIBYTE * 20)
    except OSError as error:
        if error.errno != errno.EDQUOT:
            raise
        return False
    return True


def _quota(root: Path) -> None:
    run("btrfs", "quota", "enable", root)
    run("btrfs", "subvolume", "create", root / "source")
    run("btrfs", "qgroup", "limit", "60M", root / "source")


def _directory(root: Path) -> None:
    (root / "source").mkdir()


CASES: dict[str, tuple[str, int, Callable[[Path], None]]] = {
    "full ext4": ("ext4", errno.ENOSPC, _directory),
    "quota of btrfs": ("btrfs", errno.EDQUOT, _quota),
}


@pytest.mark.parametrize("case", CASES)
def test_no_room_is_told_as_such_and_ends_when_there_is_room(
    case: str, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    kind, expected, prepare = CASES[case]
    with _small(work, kind) as root:
        prepare(root)
        # Where nobody asks again, as is done for btrfs, the share itself must wait until a removed file is let go of.
        options = () if kind == "btrfs" else ("--pool-module", "tests.support.patient_pool")
        with daemon(root / "source", work / f"{kind}.full", tmp_path / "daemon.log", watch, *options) as running:
            top = running.mountpoint
            taken = in_child(partial(_fill, top / "filler", expected))
            assert taken > 20 << 20
            assert len(running.full_pool()) == running.size
            in_child(partial(_room_again, top / "filler", top / "afterwards", root if kind == "btrfs" else None))


def test_no_room_is_told_although_others_remove_files_all_the_time(work: Path, watch: Janitor, tmp_path: Path) -> None:
    """What they remove gives no room; whoever waits for that waits no longer than for what was removed before."""
    with _small(work, "ext4") as root:
        _directory(root)
        with daemon(root / "source", work / "busy.full", tmp_path / "daemon.log", watch) as running:
            top = running.mountpoint
            in_child(partial(_fill, top / "filler", errno.ENOSPC))
            with Child(partial(_remove_all_the_time, top / "empty")) as remover:
                in_child(partial(_fill, top / "other", errno.ENOSPC))
                assert not remover.ended


def _remove_all_the_time(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        path.touch()
        path.unlink()


def test_what_cannot_be_read_is_eio_and_the_rest_is_served(work: Path, watch: Janitor, tmp_path: Path) -> None:
    """The end of the device is gone: a loop device answers reads behind the end of its file with an I/O error."""
    with _small(work, "ext4") as root:
        source = root / "source"
        source.mkdir()
        (source / "whole").write_bytes(b"content")
        (source / "broken").write_bytes(_MEBIBYTE * 150)
        os.sync()
        os.truncate(work / "small.ext4", _SMALL // 2)
        try:
            Path("/proc/sys/vm/drop_caches").write_text("3")
            expected = _read_blocks(source / "broken")
            assert 0 < expected.count(errno.EIO) < len(expected)
            Path("/proc/sys/vm/drop_caches").write_text("3")
            with daemon(source, work / "broken.mount", tmp_path / "daemon.log", watch) as running:
                before = running.full_pool()
                assert in_child(partial(_read_blocks, running.mountpoint / "broken")) == expected
                assert in_child((running.mountpoint / "whole").read_bytes) == b"content"
                assert running.full_pool() == before, "nobody died of it"
        finally:
            os.truncate(work / "small.ext4", _SMALL)


def test_an_inode_that_is_damaged_hides_no_other(work: Path, watch: Janitor, tmp_path: Path) -> None:
    """Its name is listed; readdir(3) does not show it, since the kernel has no inode number for it, but knfsd does."""
    with _small(work, "ext4") as root:
        source = root / "source"
        source.mkdir()
        for name in ("before", "damaged", "later"):
            (source / name).touch()
        number = (source / "damaged").stat().st_ino
        run("umount", root)
        run("debugfs", "-w", "-R", f"clri <{number}>", work / "small.ext4")
        run("mount", "-o", "loop", work / "small.ext4", root)
        with daemon(source, work / "damaged.mount", tmp_path / "daemon.log", watch) as running:
            names = in_child(partial(_entries, running.mountpoint))
            assert names == {b".", b"..", b"before", b"damaged", b"later"}
            assert in_child(partial(_errno_of_stat, running.mountpoint / "damaged")) == errno.EUCLEAN
            assert in_child(partial(_errno_of_stat, running.mountpoint / "later")) == 0


def _entries(top: Path) -> set[bytes]:
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    return {entry.name for entry in read_entries(descriptor)}


def _errno_of_stat(path: Path) -> int:
    try:
        path.stat()
    except OSError as error:
        return error.errno or -1
    return 0


def _read_blocks(path: Path) -> list[int]:
    """Return the errno that reading each mebibyte gives, 0 for none."""
    found = []
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for number in range(150):
            try:
                data = os.pread(descriptor, 4096, number << 20)
            except OSError as error:
                found.append(error.errno or -1)
            else:
                found.append(0 if data == _MEBIBYTE[:4096] else -1)
    finally:
        os.close(descriptor)
    return found
