"""Forged handles: a handle is a capability, so a million guesses open nothing, tell nothing and cost nothing."""

from __future__ import annotations

import errno
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.fuse.codecs import choice
from appliance.linux import handles
from appliance.linux.handles import NativeHandle
from tests.fuse.conftest import StartDaemon
from tests.support.children import in_child
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import KINDS, Filesystem
from tests.support.janitor import Janitor
from tests.support.posix.files import opened
from tests.support.witness import drop_caches

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(1800)]

FILESYSTEMS = KINDS

_FORGERIES = {"ext4": 1_000_000}
_FORGERIES_ELSEWHERE = 50_000
_FUSE_HANDLE = struct.Struct("=III")  # node id's high half, its low half, generation
_TYPE = 0x81


def _forgeries(seed: int, genuine: NativeHandle, exact: list[int]) -> Iterator[NativeHandle]:
    """Yield handles that were never given out: node ids that are `exact` with a wrong MAC, flipped bits, anything."""
    dice = random.Random(seed)
    known = _FUSE_HANDLE.unpack(genuine.data)[2]
    while True:
        for node in exact:
            for generation in (known, 0, dice.getrandbits(32)):
                yield NativeHandle(_TYPE, _FUSE_HANDLE.pack(node >> 32, node & 0xFFFFFFFF, generation))
        yield NativeHandle(_TYPE, genuine.data[:8] + dice.randbytes(4))
        flipped = bytearray(genuine.data)
        flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
        yield NativeHandle(_TYPE, bytes(flipped))
        yield NativeHandle(_TYPE, _FUSE_HANDLE.pack(0, dice.randrange(2, 100_000), dice.getrandbits(32)))
        yield NativeHandle(_TYPE, _FUSE_HANDLE.pack(0, dice.randrange(2, 1_000), known))
        yield NativeHandle(_TYPE, dice.randbytes(12))


def _attack(mountpoint: Path, seed: int, genuine: NativeHandle, exact: list[int], count: int) -> dict[str, int]:
    """Try `count` forgeries and count the answers by name."""
    answers: dict[str, int] = {}
    with opened(bytes(mountpoint), os.O_RDONLY | os.O_DIRECTORY) as root:
        for number, forged in enumerate(_forgeries(seed, genuine, exact)):
            if number == count:
                return answers
            if forged == genuine:
                continue
            try:
                os.close(handles.open_by_handle(root, forged, os.O_PATH))
                answer = f"opened {forged}"
            except OSError as error:
                answer = errno.errorcode[error.errno or 0]
            answers[answer] = answers.get(answer, 0) + 1
    return answers


def _handle(directory: Path, name: str) -> NativeHandle:
    with opened(bytes(directory), os.O_RDONLY | os.O_DIRECTORY) as root:
        return handles.name_to_handle(root, name.encode(), 0)


def _exact_nodes(disk: Filesystem, *paths: Path) -> list[int]:
    """Return the node ids that the files have or would have, none where a table gives them out on look-up only."""
    with opened(bytes(disk.source), os.O_RDONLY | os.O_DIRECTORY) as source:
        chosen = choice.probe(source)
        if chosen.kind is choice.Kind.TABLE:
            return []
        codec = choice.build(chosen, source, "")
        return [codec.encode(_handle(path.parent, path.name)).node for path in paths]


def test_forged_handles_are_stale(disk: Filesystem, start: StartDaemon) -> None:
    count = _FORGERIES.get(disk.kind, _FORGERIES_ELSEWHERE)
    unseen = disk.source / "unseen"
    unseen.write_text("inside of the share, but never looked up")
    beside = disk.root / "data" / "secret"
    beside.write_text("outside of the share")
    # Another subvolume is out of reach altogether.
    exact = _exact_nodes(disk, unseen, *([beside] if disk.kind != "btrfs-subvolume" else []))
    assert exact or disk.kind in ("tmpfs", "overlay")
    with start() as running:
        (running.mountpoint / "genuine").write_text("inside")
        genuine = _handle(running.mountpoint, "genuine")
        before = _descriptors(running)
        workers = set(running.workers)
        drop_caches()
        answers = in_child(lambda: _attack(running.mountpoint, 1, genuine, exact, count))
        assert answers == {"ESTALE": sum(answers.values())}
        assert sum(answers.values()) > count * 0.99
        assert set(running.workers) == workers, "a worker died of it"
        assert _descriptors(running) <= before + 2 * len(workers), "descriptors were left open"
        with opened(bytes(running.mountpoint), os.O_RDONLY | os.O_DIRECTORY) as root:
            os.close(handles.open_by_handle(root, genuine, os.O_RDONLY))


def test_handles_of_another_share_and_of_other_lengths_open_nothing(
    disk: Filesystem, start: StartDaemon, work: Path, watch: Janitor, tmp_path: Path
) -> None:
    """The same source under another key: the very same inodes, and none of their handles is good."""
    with start() as running, daemon(disk.source, work / f"{disk.kind}.other", tmp_path / "other.log", watch) as other:
        (running.mountpoint / "shared").write_text("inside")
        ours, theirs = _handle(running.mountpoint, "shared"), _handle(other.mountpoint, "shared")
        if _exact_nodes(disk, disk.source / "shared"):  # else each share has a table of its own
            assert ours.data[:8] == theirs.data[:8]
        assert ours.data[8:] != theirs.data[8:]
        drop_caches()
        with opened(bytes(running.mountpoint), os.O_RDONLY | os.O_DIRECTORY) as root:
            assert _refusal(root, theirs) == "ESTALE"
            assert _refusal(root, NativeHandle(_TYPE, ours.data[:8] + theirs.data[8:])) == "ESTALE"
            for length in range(1, handles.MAX_HANDLE_SIZE + 1):
                if length not in (12, 24):  # 24: with the parent's, which the kernel leaves aside
                    forged = NativeHandle(_TYPE, (ours.data * 12)[:length])
                    if length < 12:
                        assert _refusal(root, forged) == "ESTALE", length
            for kind in range(256):
                if kind not in (_TYPE, 0x82):
                    assert _refusal(root, NativeHandle(kind, ours.data)) in ("ESTALE", "EINVAL"), kind


def _refusal(root: int, forged: NativeHandle) -> str:
    try:
        os.close(handles.open_by_handle(root, forged, os.O_PATH))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "opened"


def _descriptors(running: Daemon) -> int:
    """Return how many descriptors the workers have."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in running.full_pool())
