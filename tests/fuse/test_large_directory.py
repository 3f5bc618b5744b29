"""A directory of 100,000 entries, listed while entries come and go: what was there throughout is listed once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.linux import dirents
from tests.support.children import Child
from tests.support.daemon import Daemon
from tests.support.filesystems import Filesystem
from tests.support.posix.files import opened
from tests.support.witness import drop_caches

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)  # it takes long

_ENTRIES = 100_000
_STEADY = {b"steady-%06d" % number for number in range(_ENTRIES)}
_CHANGE_EVERY = 500  # entries read


@pytest.fixture(scope="module")
def large(disk: Filesystem) -> str:
    """The name of the directory, filled behind the mount."""
    with opened(_made(disk.source / "hundred-thousand"), os.O_RDONLY) as directory:
        for name in _STEADY:
            os.mknod(name, 0o600, dir_fd=directory)
    return "hundred-thousand"


def _made(path: Path) -> bytes:
    path.mkdir()
    return bytes(path)


@contextmanager
def _changing(path: Path, stop: Path) -> Iterator[None]:
    """Have another process create, rename and remove entries in the directory until the context ends."""

    def change() -> int:
        rounds = 0
        while not stop.exists():
            name = path / f"passing-{rounds % 1000}"
            name.touch()
            name.rename(path / f"renamed-{rounds % 1000}")
            (path / f"renamed-{rounds % 1000}").unlink()
            rounds += 1
        return rounds

    with Child(change) as child:
        yield
        stop.touch()
        rounds = child.result()
    assert isinstance(rounds, int)
    assert rounds > 10, "the directory hardly changed"


def _check(seen: Counter[bytes]) -> None:
    missing = _STEADY - seen.keys()
    assert not missing, f"{len(missing)} missing, such as {sorted(missing)[:3]}"
    twice = [name for name, times in seen.items() if times > 1 and name in _STEADY | {b".", b".."}]
    assert not twice, f"{len(twice)} listed more than once, such as {twice[:3]}"


def test_entries_that_stay_are_listed_once_while_the_reader_changes_others(
    large: str, disk: Filesystem, shared_daemon: Daemon
) -> None:
    seen: Counter[bytes] = Counter()
    top = bytes(shared_daemon.mountpoint / large)
    with opened(top, os.O_RDONLY) as reader, opened(top, os.O_RDONLY) as changer:
        for number, entry in enumerate(dirents.read_entries(reader)):
            seen[entry.name] += 1
            if number % _CHANGE_EVERY == 0:
                os.mknod(f"new-{number}", 0o600, dir_fd=changer)
                if number:
                    os.unlink(f"new-{number - _CHANGE_EVERY}", dir_fd=changer)
    _check(seen)


def test_entries_that_stay_are_listed_once_while_others_change_and_workers_die(
    large: str, disk: Filesystem, own_daemon: Daemon, tmp_path: Path
) -> None:
    seen: Counter[bytes] = Counter()
    path = own_daemon.mountpoint / large
    with _changing(path, tmp_path / "stop"), opened(bytes(path), os.O_RDONLY) as directory:
        for number, entry in enumerate(dirents.read_entries(directory)):
            seen[entry.name] += 1
            if number % 20_000 == 10_000:
                own_daemon.kill_workers()
    _check(seen)


def test_listing_goes_on_at_an_offset_after_everything_was_forgotten(
    large: str, disk: Filesystem, own_daemon: Daemon
) -> None:
    path = bytes(own_daemon.mountpoint / large)
    seen: Counter[bytes] = Counter()
    offset = 0
    for part in range(5):
        # What an NFS client does: a part, and later, perhaps to another server process, the rest from there.
        with opened(path, os.O_RDONLY) as directory:
            os.lseek(directory, offset, os.SEEK_SET)
            for number, entry in enumerate(dirents.read_entries(directory)):
                seen[entry.name] += 1
                offset = entry.offset
                if part < 4 and number == 20_000:
                    break
        own_daemon.kill_workers()
        drop_caches()
    _check(seen)
