"""What a write costs besides itself: no worker is asked what the kernel knows already."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.registry import registry

pytestmark = pytest.mark.fuse

_TIMES = 20
# The capabilities of a program, struct vfs_cap_data of revision 2: cap_net_bind_service permitted and effective.
_CAPABILITIES = bytes.fromhex("0100000200040000000000000000000000000000")


def _write(file: int) -> None:
    for number in range(_TIMES):
        os.pwrite(file, b"x", number)


def test_capabilities_are_not_asked_for_at_each_write(shared_daemon: Daemon) -> None:
    file = os.open(shared_daemon.mountpoint / "file", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with registry(shared_daemon) as counts:
            before = counts.operations()["getxattr"]
            _write(file)
            assert counts.operations()["getxattr"] - before <= 1
    finally:
        os.close(file)


def test_capabilities_that_come_later_go_with_the_next_write(shared_daemon: Daemon) -> None:
    path: Path = shared_daemon.mountpoint / "program"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o755)
    try:
        _write(file)
        os.setxattr(path, "security.capability", _CAPABILITIES)
        assert "security.capability" in os.listxattr(path)
        _write(file)
        assert "security.capability" not in os.listxattr(path)
    finally:
        os.close(file)
