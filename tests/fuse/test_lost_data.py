"""Data that storage takes and then loses: whoever asks for them to be stored is told, once, whatever happened before.

The kernel tells of a failed write-back to descriptors that were open then, and only once (errseq). Each test here has
somebody else hear it first, or die of it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.children import in_child
from tests.support.daemon import Daemon, daemon
from tests.support.janitor import Janitor
from tests.support.killing import killed_at_reply, only_worker
from tests.support.overcommitted import SIZE, Overcommitted, overcommitted
from tests.support.processes import kill

pytestmark = pytest.mark.fuse

_NEW = b"new " * (SIZE // 4)
Errors = list[int]


@pytest.fixture
def disk(work: Path) -> Iterator[Overcommitted]:
    with overcommitted(work) as made:
        yield made


@pytest.fixture
def served(disk: Overcommitted, work: Path, watch: Janitor, tmp_path: Path) -> Iterator[Daemon]:
    """One worker, which makes attributes last before it replies."""
    mountpoint = work / "overcommitted.mount"
    with daemon(disk.source, mountpoint, tmp_path / "daemon.log", watch, "--durable", workers=1) as running:
        running.log.announce("workers end as soon as they are started: killed by SIGKILL")
        yield running


def _told(act: partial[None]) -> int:
    """Return the errno that somebody is told, 0 for none."""
    try:
        act()
    except OSError as error:
        return error.errno or -1
    return 0


@pytest.mark.parametrize("dies", [False, True])
def test_a_change_of_attributes_does_not_hide_it(served: Daemon, disk: Overcommitted, *, dies: bool) -> None:
    """The fsync that makes a mode last hears of the loss; the client whose data it is has not asked yet."""

    def write_and_chmod() -> tuple[Errors, int]:
        path = served.mountpoint / "data"
        descriptor = os.open(path, os.O_RDWR)
        disk.take_back()
        assert os.pwrite(descriptor, _NEW, 0) == SIZE
        told = [_told(partial(os.chmod, path, 0o640))]
        if dies:
            kill(only_worker(served))
        told += [_told(partial(os.fsync, descriptor)) for _ in range(2)]
        disk.give_room()
        assert os.pwrite(descriptor, _NEW, 0) == SIZE
        return told, _told(partial(os.fsync, descriptor))

    assert in_child(write_and_chmod) == ([errno.EIO, errno.EIO, 0], 0)
    assert (disk.source / "data").read_bytes() == _NEW


def test_it_is_told_although_the_worker_dies_that_heard_it(served: Daemon, disk: Overcommitted) -> None:
    def write_and_sync() -> Errors:
        descriptor = os.open(served.mountpoint / "data", os.O_RDWR)
        disk.take_back()
        assert os.pwrite(descriptor, _NEW, 0) == SIZE
        pid = only_worker(served)
        with killed_at_reply(1, pid):
            told = [_told(partial(os.fsync, descriptor))]
        assert only_worker(served) != pid
        return [*told, _told(partial(os.fsync, descriptor))]

    assert in_child(write_and_sync) == [errno.ENOSPC, 0]


def test_it_is_told_although_there_may_soon_be_room(served: Daemon, disk: Overcommitted) -> None:
    """Other operations are done again where a file was removed just now. A second fsync would hear nothing."""

    def remove_and_sync() -> Errors:
        (served.mountpoint / "removed").write_bytes(b"")
        descriptor = os.open(served.mountpoint / "data", os.O_RDWR)
        disk.take_back()
        assert os.pwrite(descriptor, _NEW, 0) == SIZE
        (served.mountpoint / "removed").unlink()
        return [_told(partial(os.fsync, descriptor)) for _ in range(2)]

    assert in_child(remove_and_sync) == [errno.ENOSPC, 0]
