"""The handle of a file that is no more says ESTALE, and so does every handle that was never given out."""

from __future__ import annotations

import os
import random
import struct
import time
from pathlib import Path

import pytest

from appliance.linux.handles import NativeHandle
from tests.support.daemon import Daemon
from tests.support.filesystems import KINDS, Filesystem
from tests.support.patience import SECONDS
from tests.support.posix.files import make, opened
from tests.support.witness import Witness, drop_caches, errno_of, faults, mark, opened_root, outcome, take

pytestmark = pytest.mark.fuse

FILESYSTEMS = KINDS

# What the kernel's fuse_encode_fh() writes: the node id's halves, then the generation; all in a handle of this type.
_FUSE_HANDLE = struct.Struct("=III")
_FILEID_INO64_GEN = 0x81


def new_witness(daemon: Daemon, disk: Filesystem, name: str, data: bytes = b"original") -> Witness:
    make(bytes(daemon.mountpoint / name), data)
    mark(bytes(disk.source / name))
    return take(daemon.mountpoint, disk.source, name.encode())


def errno_on(daemon: Daemon, handle: NativeHandle) -> str:
    with opened_root(daemon.mountpoint) as root:
        return errno_of(root, handle)


def test_unlinked_file_is_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    witness = new_witness(shared_daemon, disk, "stale-unlinked")
    assert errno_on(shared_daemon, witness.handle) == "opened"
    os.unlink(shared_daemon.mountpoint / "stale-unlinked")
    assert errno_on(shared_daemon, witness.handle) == "ESTALE"
    drop_caches()
    assert errno_on(shared_daemon, witness.handle) == "ESTALE"


def test_unlinked_file_is_stale_though_every_worker_has_just_used_it(disk: Filesystem, shared_daemon: Daemon) -> None:
    witness = new_witness(shared_daemon, disk, "stale-used")
    path = shared_daemon.mountpoint / "stale-used"
    for _ in range(200):  # both workers get their turns
        drop_caches()
        with opened(bytes(path), os.O_RDWR) as file:
            os.pwrite(file, b"again", 0)
    os.unlink(path)
    assert errno_on(shared_daemon, witness.handle) == "ESTALE"


def test_removed_directory_is_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    top = shared_daemon.mountpoint / "stale-directory"
    top.mkdir()
    mark(bytes(disk.source / top.name))
    witness = take(shared_daemon.mountpoint, disk.source, bytes(Path(top.name)))
    top.rmdir()
    assert errno_on(shared_daemon, witness.handle) == "ESTALE"


def test_file_that_was_renamed_over_is_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    victim = new_witness(shared_daemon, disk, "stale-victim")
    mover = new_witness(shared_daemon, disk, "stale-mover", b"mover")
    os.rename(shared_daemon.mountpoint / "stale-mover", shared_daemon.mountpoint / "stale-victim")
    assert errno_on(shared_daemon, victim.handle) == "ESTALE"
    assert faults(shared_daemon.mountpoint, [mover]) == []


def test_file_with_another_name_left_is_not_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    witness = new_witness(shared_daemon, disk, "stale-linked")
    os.link(shared_daemon.mountpoint / "stale-linked", shared_daemon.mountpoint / "stale-second")
    os.unlink(shared_daemon.mountpoint / "stale-linked")
    drop_caches()
    assert faults(shared_daemon.mountpoint, [witness]) == []
    os.unlink(shared_daemon.mountpoint / "stale-second")
    assert errno_on(shared_daemon, witness.handle) == "ESTALE"


def test_unlinked_open_file_is_stale_once_it_is_closed(disk: Filesystem, shared_daemon: Daemon) -> None:
    witness = new_witness(shared_daemon, disk, "stale-open")
    path = shared_daemon.mountpoint / "stale-open"
    with opened(bytes(path), os.O_RDWR) as file:
        os.unlink(path)
        assert os.pread(file, 100, 0) == b"original"
    _await_stale(shared_daemon, witness)


def test_file_unlinked_behind_the_mount_becomes_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    witness = new_witness(shared_daemon, disk, "stale-behind")
    os.unlink(disk.source / "stale-behind")
    _await_stale(shared_daemon, witness)


def test_file_unlinked_behind_the_mount_becomes_stale_although_it_is_asked_for(
    disk: Filesystem, shared_daemon: Daemon
) -> None:
    new_witness(shared_daemon, disk, "stale-asked")
    with opened(bytes(shared_daemon.mountpoint / "stale-asked"), os.O_PATH) as held:
        os.unlink(disk.source / "stale-asked")
        deadline = time.monotonic() + SECONDS
        while (answer := outcome(os.fstat, held)) == "fine" and time.monotonic() < deadline:
            time.sleep(0.2)
        assert answer == "ESTALE"


def _await_stale(daemon: Daemon, witness: Witness) -> None:
    """Wait for ESTALE: a worker's cache may hold the inode for seconds, and close(2) does not wait for RELEASE."""
    deadline = time.monotonic() + SECONDS
    while (answer := errno_on(daemon, witness.handle)) == "opened" and time.monotonic() < deadline:
        assert faults(daemon.mountpoint, [witness]) in ([], [f"{witness.name!r}: ESTALE"])
        drop_caches()
        time.sleep(0.2)
    assert answer == "ESTALE"


def test_invented_handles_are_stale(disk: Filesystem, shared_daemon: Daemon) -> None:
    known = new_witness(shared_daemon, disk, "stale-known")
    assert known.handle.type == _FILEID_INO64_GEN
    high, low, generation = _FUSE_HANDLE.unpack(known.handle.data)
    dice = random.Random(8)
    invented = {
        "generation + 1": (high, low, generation + 1 & 0xFFFFFFFF),
        "generation 0": (high, low, 0 if generation else 1),
        "node without its high half": (0, low, generation),
        "node's high half + 1": (high + 1 & 0xFFFFFFFF, low, generation),
        "node + 1": (high, low + 1, generation),
        "node 0": (0, 0, generation),
        "node 0, generation 0": (0, 0, 0),
        "root with a generation": (0, 1, 77),
        "root of the whole filesystem": (0, 2, 0),
        "largest": (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        "inode number that is too large": (high, 0xFFFFFFF0, generation),
    }
    for number in range(1000):
        invented[f"any node {number}"] = (dice.getrandbits(32), dice.getrandbits(32), dice.getrandbits(32))
        invented[f"any small node {number}"] = (0, dice.randrange(2, 5000), dice.choice((0, generation)))
        invented[f"any generation {number}"] = (high, low, dice.getrandbits(32))
    drop_caches()  # an inode in the kernel's cache never reaches the daemon
    with opened_root(shared_daemon.mountpoint) as root:
        answers = {
            label: errno_of(root, NativeHandle(_FILEID_INO64_GEN, _FUSE_HANDLE.pack(*parts)))
            for label, parts in invented.items()
            if parts != (high, low, generation)
        }
    assert {label: answer for label, answer in answers.items() if answer != "ESTALE"} == {}
    assert faults(shared_daemon.mountpoint, [known]) == []
