"""What local processes change behind the mount is seen there, although the kernel believes what it knows for an hour.

So it is nothing but the watcher (appliance.fuse.watcher) that has it seen. How soon is not judged here.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.scoreboard import Scoreboard
from appliance.fuse.watcher import Watched, Watcher
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import ONE_PER_CODEC, Filesystem
from tests.support.janitor import Janitor
from tests.support.processes import alive, children, kill, name
from tests.support.registry import registry
from tests.support.watching import PATIENCE_SECONDS, prove_watching, until

pytestmark = pytest.mark.fuse

FILESYSTEMS = ONE_PER_CODEC  # fanotify tells native handles, as codecs know them

_FOR_AN_HOUR = ("--timeout", "3600", "--negative-timeout", "3600")

T = TypeVar("T")


@pytest.fixture
def watched(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that believes for an hour, and watches."""
    options = (*_FOR_AN_HOUR, "--watch")
    with daemon(disk.source, work / f"{disk.kind}.watched", tmp_path / "daemon.log", watch, *options) as running:
        prove_watching(running)
        yield running


def _change(look: Callable[[], T], before: T, change: Callable[[], object], after: T) -> None:
    """Have the kernel know what there was, change it at the source, and see it on the mount."""
    until(look, before)
    change()
    until(look, after)


def test_names_are_seen_to_come_and_go(watched: Daemon) -> None:
    seen, there = watched.mountpoint / "top", watched.source / "top"
    _change(seen.is_dir, False, there.mkdir, True)
    file, link, copy = seen / "file", seen / "link", seen / "copy"
    _change(file.exists, False, lambda: (there / "file").write_bytes(b"first"), True)
    _change(link.is_symlink, False, lambda: (there / "link").symlink_to("file"), True)
    _change(copy.exists, False, lambda: os.link(there / "file", there / "copy"), True)
    _change(lambda: sorted(os.listdir(seen)), ["copy", "file", "link"], (there / "copy").unlink, ["file", "link"])
    _change(copy.exists, False, lambda: (there / "file").rename(there / "copy"), True)
    until(file.exists, False)
    assert copy.read_bytes() == b"first"
    _change(link.is_symlink, True, (there / "link").unlink, False)
    _change(copy.exists, True, (there / "copy").unlink, False)
    _change(seen.is_dir, True, there.rmdir, False)


def test_what_is_in_a_file_is_seen_to_change(watched: Daemon) -> None:
    seen, there = watched.mountpoint / "file", watched.source / "file"
    there.write_bytes(b"first")
    _change(seen.read_bytes, b"first", lambda: there.write_bytes(b"second one"), b"second one")
    _change(seen.read_bytes, b"second one", lambda: os.truncate(there, 6), b"second")
    other = watched.source / "other"
    other.write_bytes(b"third")
    _change(seen.read_bytes, b"second", lambda: other.rename(there), b"third")


def test_a_file_that_is_open_is_seen_to_change(watched: Daemon) -> None:
    seen, there = watched.mountpoint / "file", watched.source / "file"
    there.write_bytes(b"first")
    until(seen.exists, True)
    with seen.open("rb", buffering=0) as file:
        look = lambda: (os.fstat(file.fileno()).st_size, os.pread(file.fileno(), 100, 0))  # noqa: E731
        _change(look, (5, b"first"), lambda: there.write_bytes(b"second one"), (10, b"second one"))


def test_attributes_are_seen_to_change(watched: Daemon) -> None:
    seen, there = watched.mountpoint / "top", watched.source / "top"
    there.mkdir(mode=0o755)
    (there / "file").write_bytes(b"")
    until((seen / "file").exists, True)
    for path in ("", "file"):
        new = there / path
        old = os.stat(new).st_mode & 0o7777
        _change(lambda: os.stat(seen / path).st_mode & 0o7777, old, lambda: new.chmod(0o700), 0o700)  # noqa: B023
        _change(lambda: os.stat(seen / path).st_uid, 0, lambda: os.chown(new, 1234, 5), 1234)  # noqa: B023
        _change(lambda: os.stat(seen / path).st_mtime, os.stat(new).st_mtime, lambda: os.utime(new, (1, 2)), 2.0)  # noqa: B023
    _change(lambda: os.stat(seen / "file").st_nlink, 1, lambda: os.link(there / "file", there / "other"), 2)
    _change(lambda: os.stat(seen / "file").st_nlink, 2, (there / "other").unlink, 1)


def test_a_directory_that_is_replaced_is_seen_to_be_another(watched: Daemon) -> None:
    seen, there = watched.mountpoint / "top", watched.source / "top"
    (there / "old").mkdir(parents=True)
    (watched.source / "new top" / "new").mkdir(parents=True)
    until((seen / "old").is_dir, True)
    assert os.listdir(seen) == ["old"]
    there.rename(watched.source / "gone")
    (watched.source / "new top").rename(there)
    until(lambda: os.listdir(seen), ["new"])
    assert (seen / "new").is_dir()
    assert not (seen / "old").exists()


@pytest.mark.kinds("ext4")
def test_what_clients_change_is_not_asked_for_again(watched: Daemon) -> None:
    """The kernel knows what it has asked for itself, so the watcher passes over what our own workers do."""
    files = []
    try:
        for number in range(50):
            files.append(os.open(watched.mountpoint / f"{number}", os.O_CREAT | os.O_RDONLY))
            os.fchmod(files[-1], 0o640)
        mark = watched.source / "mark"  # what comes after has come when this is seen
        mark.touch()
        until((watched.mountpoint / "mark").exists, True)
        with registry(watched) as counts:
            before = counts.operations()["getattr"]
            assert {os.fstat(file).st_mode & 0o777 for file in files} == {0o640}
            assert counts.operations()["getattr"] == before
    finally:
        for file in files:
            os.close(file)


@pytest.mark.kinds("ext4")
def test_another_watcher_comes_after_one_that_died(watched: Daemon) -> None:
    (victim,) = _watchers(watched)
    kill(victim)
    until(lambda: alive(victim), False)
    until(lambda: len(_watchers(watched)), 1)
    prove_watching(watched)
    watched.kill_pool()
    watched.full_pool()
    until(lambda: len(_watchers(watched)), 1)
    prove_watching(watched)


@pytest.mark.kinds("ext4")
def test_what_nobody_else_changes_is_asked_for_once(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    """What a share with `caching: exclusive` is for; and what is made where nothing was is there at once."""
    with daemon(
        disk.source, work / f"{disk.kind}.exclusive", tmp_path / "daemon.log", watch, *_FOR_AN_HOUR
    ) as running, registry(running) as counts:
        there, absent = running.mountpoint / "there", running.mountpoint / "absent"
        there.touch()
        assert [there.stat().st_size, absent.exists()] == [0, False]
        before = counts.operations()
        for _ in range(10):
            assert [there.stat().st_size, absent.exists()] == [0, False]
        assert counts.operations() == before
        absent.write_bytes(b"now there")
        assert absent.read_bytes() == b"now there"
        absent.unlink()
        there.rename(absent)
        assert [there.exists(), absent.exists()] == [False, True]


def test_a_source_that_cannot_be_watched_is_told(tmp_path: Path) -> None:
    """No event names files of /proc, which has no handles: the share would be served all the same."""
    board = Scoreboard.create()
    source = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    watcher = Watcher(Watched(0, source, CodecChoice(Kind.INO32), "", board, names_expire=True))
    try:
        assert watcher.tend()
        assert select.select([watcher], [], [], PATIENCE_SECONDS)[0]
        while watcher.running:
            watcher.heard()
        assert watcher.reason.startswith("local changes are not noticed: ")
        assert not watcher.tend(), "another one would find the same"
    finally:
        watcher.end()
        os.close(source)
        board.close()


@pytest.mark.kinds("ext4")
def test_names_are_seen_after_more_changes_than_are_remembered(watched: Daemon) -> None:
    """What was lost is not known; so that nothing wrong is believed for long, all names are looked up again."""
    many = int(Path("/proc/sys/fs/fanotify/max_queued_events").read_text()) + 100
    (watched.source / "many").mkdir()
    for number in range(many):
        os.mknod(watched.source / "many" / f"{number}")
    (watched.source / "mark").touch()
    until((watched.mountpoint / "mark").exists, True)  # and with it all that came before
    last = watched.mountpoint / "last"
    assert not last.exists()
    (watcher,) = _watchers(watched)
    os.kill(watcher, signal.SIGSTOP)
    try:
        for number in range(many):
            os.chmod(watched.source / "many" / f"{number}", 0o600)
        (watched.source / "last").touch()
    finally:
        os.kill(watcher, signal.SIGCONT)
    until(last.exists, True)


def _watchers(running: Daemon) -> list[int]:
    return [pid for pid in children(running.pool) if name(pid) == "holdfast-watch"]
