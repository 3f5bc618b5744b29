"""What fanotify tells, in bytes as Linux 6.18 wrote them, and what the kernel is told to forget."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from appliance.fuse import protocol
from appliance.fuse.caching import MOMENT_SECONDS, Caching, Validity, cached, validity
from appliance.fuse.invalidations import Invalidations, can_expire_names
from appliance.fuse.nodes import ROOT, NodeId
from appliance.fuse.pool_config import PoolOptions
from appliance.linux.fanotify import Change, parse
from appliance.linux.handles import NativeHandle

_HEAD = struct.Struct("=IBBHQii")


def _record(kind: int, handle: NativeHandle, name: bytes = b"") -> bytes:
    body = struct.pack("=8xIi", len(handle.data), handle.type) + handle.data + name
    body += bytes(-(4 + len(body)) % 4)
    return struct.pack("=BBH", kind, 0, 4 + len(body)) + body


def _event(mask: int, pid: int, *records: bytes) -> bytes:
    body = b"".join(records)
    return _HEAD.pack(_HEAD.size + len(body), 3, 0, _HEAD.size, mask, -1, pid) + body


# btrfs: a file "ff" was made in one directory.
RECORDED = bytes.fromhex(
    "6c000000030018000201000000000000ffffffff643c000002002c004d77ec41a1d4aabb140000004d0000000001000000000000000100000000"
    "00000700000066660000010028004d77ec41a1d4aabb140000004d0000000101000000000000000100000000000008000000"
)
DIRECTORY = NativeHandle(0x4D, bytes.fromhex("0001000000000000000100000000000007000000"))
FILE = NativeHandle(0x4D, bytes.fromhex("0101000000000000000100000000000008000000"))


def test_a_recorded_event_is_understood() -> None:
    assert list(parse(RECORDED)) == [Change(0x3C64, (FILE, DIRECTORY), names=True)]


def test_each_event_tells_whose_attributes_have_changed() -> None:
    written = _event(0x2, 7, _record(2, DIRECTORY, b"ff\0"), _record(1, FILE))
    directory = _event(0x40000004, 8, _record(2, DIRECTORY, b".\0"))
    full = _event(0x4000, 0)
    assert list(parse(written + directory + full)) == [
        Change(7, (FILE,)),
        Change(8, (DIRECTORY,)),
        Change(0, lost=True),
    ]


def _sent(changes: Sequence[Change], *, names_expire: bool = True) -> list[bytes]:
    """What a connection that takes everything is told; node ids are the lengths of handles here."""
    readable, writable = os.pipe()
    root = NativeHandle(1, b"the root")

    def find(handle: NativeHandle) -> NodeId | None:
        return NodeId(len(handle.data)) if handle.data else None

    try:
        assert Invalidations(writable, root, find, names_expire=names_expire).send(changes)
    finally:
        os.close(writable)
    with os.fdopen(readable, "rb") as told:
        data = told.read()
    found = []
    while data:
        (length,) = struct.unpack_from("=I", data)
        found.append(data[:length])
        data = data[length:]
    return found


def test_names_go_before_the_directory_shows_that_it_was_changed() -> None:
    made = Change(5, (NativeHandle(1, b"12345"), NativeHandle(1, b"the root")), names=True)
    told = _sent([made])
    assert told[0] == protocol.expire_names()
    assert set(told[1:]) == {protocol.invalidate_attributes(5), protocol.invalidate_attributes(ROOT)}
    assert protocol.expire_names() not in _sent([made], names_expire=False)


def test_what_our_own_workers_do_is_passed_over() -> None:
    written = _event(0x2, 7, _record(1, FILE))
    full = _event(0x4000, 7)
    assert list(parse(RECORDED + written + full, {7})) == [*parse(RECORDED), Change(7, lost=True)]
    assert _sent([Change(7, lost=True)]) == [protocol.expire_names()]


def test_each_inode_is_told_of_once_and_none_that_has_no_node_id() -> None:
    written = Change(5, (NativeHandle(1, b"12345"),))
    assert _sent([written, written, Change(5, (NativeHandle(1, b""),))]) == [
        protocol.invalidate_attributes(5)
    ]


def test_what_the_kernel_refuses_is_not_the_end() -> None:
    # A directory says EBADF to a write. ENODEV, as /dev/fuse says once it is not mounted, would be the end.
    descriptor = os.open("/", os.O_RDONLY)
    try:
        forget = Invalidations(descriptor, NativeHandle(1, b""), lambda _: NodeId(5), names_expire=True)
        assert forget.send([Change(1, (NativeHandle(1, b"x"),))])
        assert not can_expire_names(descriptor)
    finally:
        os.close(descriptor)


def test_a_kernel_that_cannot_be_told_of_names_believes_them_for_a_moment() -> None:
    shared, exclusive = (cached(PoolOptions(), caching) for caching in (Caching.SHARED, Caching.EXCLUSIVE))
    assert validity(shared, names_expire=True) == Validity(1.0, 1.0, 1.0)
    assert validity(shared, names_expire=False) == Validity(MOMENT_SECONDS, 1.0, MOMENT_SECONDS)
    assert validity(exclusive, names_expire=False) == Validity(3600.0, 3600.0, 3600.0)
