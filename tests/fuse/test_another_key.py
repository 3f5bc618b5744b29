"""Another key: every handle given out before is stale, the files are there, and other shares notice nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.fuse.key import new_key
from tests.fuse.conftest import StartDaemon
from tests.fuse.test_stale import errno_on
from tests.support.daemon import Daemon
from tests.support.filesystems import KINDS, Filesystem
from tests.support.posix.files import make
from tests.support.witness import Witness, drop_caches, faults, mark, take

pytestmark = pytest.mark.fuse

FILESYSTEMS = KINDS

_FILES = 20


def _witnesses(daemon: Daemon, disk: Filesystem) -> list[Witness]:
    return [take(daemon.mountpoint, disk.source, b"another-key/%d" % number) for number in range(_FILES)]


def test_handles_of_another_key_are_stale(disk: Filesystem, start: StartDaemon, shared_daemon: Daemon) -> None:
    with start() as first:
        (first.mountpoint / "another-key").mkdir()
        for number in range(_FILES):
            make(bytes(first.mountpoint / f"another-key/{number}"), b"%d" % number)
            mark(bytes(disk.source / f"another-key/{number}"))
        old, others = _witnesses(first, disk), _witnesses(shared_daemon, disk)
        state = first.mountpoint.with_name(f"{first.mountpoint.name}.state")
    _change(state / "key")
    with start() as second:
        assert [errno_on(second, witness.handle) for witness in old] == ["ESTALE"] * _FILES
        new = _witnesses(second, disk)  # they are in the kernel's cache from now on
        assert {witness.handle for witness in new}.isdisjoint(witness.handle for witness in old)
        assert [errno_on(second, witness.handle) for witness in old] == ["ESTALE"] * _FILES
        drop_caches()
        assert [errno_on(second, witness.handle) for witness in old] == ["ESTALE"] * _FILES
        assert faults(second.mountpoint, new) == []
        assert [witness.inode for witness in new] == [witness.inode for witness in old]
    assert faults(shared_daemon.mountpoint, others) == []


def _change(key: Path) -> None:
    key.write_bytes(new_key())
