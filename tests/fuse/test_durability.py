"""What a client was told is done is on the disk: seen in copies of it, as a cut of the power would leave it behind.

What ext4, xfs or btrfs has not written yet is not in the file behind the loop device. So a copy of that file, taken
right after an answer, is what would be found after a power cut at that moment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.linux import handles
from tests.support.commands import run
from tests.support.daemon import daemon
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.posix.files import opened

pytestmark = [pytest.mark.fuse, pytest.mark.kinds("ext4", "xfs", "btrfs")]

_SIZE = 320 << 20  # bytes; the least that mkfs.xfs makes is 300 MB
# A journal that is written by the clock would make tests pass by luck.
_OPTIONS = {"ext4": "loop,commit=300", "xfs": "loop", "btrfs": "loop,commit=300"}


@dataclass(frozen=True)
class _Change:
    """One operation: what must be there before, what it does, and how to tell that it was done."""

    prepare: Callable[[Path], object]
    make: Callable[[Path], object]
    done: Callable[[Path], bool]


def _nothing(_path: Path) -> None:
    pass


def _other(path: Path) -> Path:
    return path.parent / "other" / path.name


def _write(path: Path, flags: int, how: int) -> None:
    with opened(bytes(path), os.O_WRONLY | flags) as descriptor:
        assert os.pwritev(descriptor, [b"stable"], 0, how) == 6


_CHANGES = {
    "mknod": _Change(_nothing, lambda path: os.mknod(path, 0o640), lambda path: path.is_file()),
    "create": _Change(_nothing, Path.touch, lambda path: path.is_file()),
    "mkdir": _Change(_nothing, Path.mkdir, lambda path: path.is_dir()),
    "symlink": _Change(_nothing, lambda path: path.symlink_to("to"), lambda path: os.readlink(path) == "to"),
    "link": _Change(Path.touch, lambda path: _other(path).hardlink_to(path), lambda path: _other(path).samefile(path)),
    "unlink": _Change(Path.touch, Path.unlink, lambda path: not path.exists()),
    "rmdir": _Change(Path.mkdir, Path.rmdir, lambda path: not path.exists()),
    "rename": _Change(
        Path.touch, lambda path: path.rename(_other(path)), lambda path: not path.exists() and _other(path).exists()
    ),
    "chmod": _Change(Path.touch, lambda path: path.chmod(0o4711), lambda path: path.stat().st_mode & 0o7777 == 0o4711),
    "truncate": _Change(
        lambda path: path.write_bytes(bytes(9000)), lambda path: os.truncate(path, 5), lambda path: _size(path) == 5
    ),
    "utime": _Change(Path.mkdir, lambda path: os.utime(path, (5, 5)), lambda path: path.stat().st_mtime == 5),
    "setxattr": _Change(
        Path.touch,
        lambda path: os.setxattr(path, "user.a", b"b"),
        lambda path: "user.a" in os.listxattr(path),
    ),
    "write-sync": _Change(Path.touch, lambda path: _write(path, os.O_SYNC, 0), lambda path: _says(path, b"stable")),
    # How knfsd writes what is to be stable at once.
    "write-rwf": _Change(Path.touch, lambda path: _write(path, 0, os.RWF_SYNC), lambda path: _says(path, b"stable")),
}


def _size(path: Path) -> int:
    return path.stat().st_size


def _says(path: Path, expected: bytes) -> bool:
    return path.read_bytes() == expected


@contextmanager
def _mounted(kind: str, image: Path, root: Path) -> Iterator[None]:
    run("mount", "-o", _OPTIONS[kind], image, root)
    try:
        yield
    finally:
        run("umount", root)


def _found(change: _Change, path: Path) -> bool:
    try:
        return change.done(path)
    except OSError:
        return False


def _handle(root: Path, name: str) -> object:
    """Return the native handle of what a change has left under its name or the other one; None for nothing."""
    with opened(bytes(root), os.O_RDONLY | os.O_DIRECTORY) as directory:
        for path in (f"other/{name}", name):
            if os.path.lexists(root / path):
                return handles.name_to_handle(directory, path.encode())
    return None


def test_what_was_answered_survives_a_power_cut(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    place = work / f"durability-{disk.kind}"
    root, image = place / "root", place / "image"
    root.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(_SIZE)
    run(f"mkfs.{disk.kind}", "-q", image)
    left: dict[str, object] = {}
    with (
        _mounted(disk.kind, image, root),
        daemon(root, place / "mount", tmp_path / "log", watch, "--durable") as running,
    ):
        (running.mountpoint / "other").mkdir()
        for name, change in _CHANGES.items():
            change.prepare(running.mountpoint / name)
        os.sync()
        for name, change in _CHANGES.items():
            change.make(running.mountpoint / name)
            run("cp", "--sparse=always", image, place / name)
            left[name] = _handle(root, name)
    # Only now: btrfs does not mount a copy beside its original.
    lost = []
    for name, change in _CHANGES.items():
        with _mounted(disk.kind, place / name, root):
            if not _found(change, root / name) or _handle(root, name) != left[name]:
                lost.append(name)
        (place / name).unlink()
    image.unlink()
    assert lost == []
