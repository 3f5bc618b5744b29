"""A check over NFS, with server and share played: what clients are told of a file may be ahead of the source."""

from __future__ import annotations

import socket
import stat
import threading
from typing import cast
from uuid import UUID

import pytest

from appliance.checks import fileid, nfs4
from appliance.checks.evidence import Answer, Name, Opened
from appliance.checks.messages import OverNfs
from appliance.checks.over_nfs import NfsView, connected
from appliance.checks.samples import Sample
from appliance.checks.view import View
from appliance.fuse.codecs.ino32 import Ino32Codec
from appliance.linux.handles import NativeHandle
from appliance.linux.statx import Found
from tests.unit import test_checks_nfs4 as played

FSID = UUID("31a3deb0-5d5c-4a5c-9d0a-6ff1f2a3b4c5")
CODEC = Ino32Codec()
NATIVE, OTHER = NativeHandle(1, b"\x0c\0\0\0\7\0\0\0"), NativeHandle(1, b"\x0d\0\0\0\7\0\0\0")
NODE = CODEC.encode(NATIVE).node
HANDLE = fileid.encode(NODE, 5)
FOUND = Found(stat.S_IFREG, 12, 1, 5, 1_500_000_000_000_000_000, 77)
SAMPLE = Sample(HANDLE, NATIVE, 12, stat.S_IFREG, 77, 5, FOUND.mtime, b"file", str(FSID), "key", 1.0)


class Local:
    """The share on this machine; `served` is what a worker says that the handle opens."""

    codec = CODEC
    expected_root = NativeHandle(1, b"\2\0\0\0\0\0\0\0")

    def __init__(self, served: Answer) -> None:
        self._served = served

    def behind(self, handle: NativeHandle) -> Answer:
        return Opened(handle, FOUND)

    def named(self, _: bytes) -> Name | None:
        return None

    def expected(self, _: NativeHandle) -> NativeHandle | None:
        return HANDLE

    def through(self, _: NativeHandle) -> Answer:
        return self._served


class Server:
    """What it tells of a file."""

    def __init__(self, found: Found) -> None:
        self._found = found

    def attributes(self, _: bytes) -> Found:
        return self._found._replace(inode=NODE)


def agree(told: Found, served: Answer) -> bool:
    view = NfsView(cast(View, Local(served)), cast(nfs4.Session, Server(told)), b"", FSID)
    return view.evidence(SAMPLE).attributes_agree


def test_what_clients_are_told_is_what_the_source_has() -> None:
    nobody = Opened(OTHER, FOUND)  # is not even asked
    assert agree(FOUND, nobody)
    assert not agree(FOUND._replace(size=6), nobody)
    assert not agree(FOUND._replace(mtime=1), nobody)


def test_what_a_client_has_not_written_yet_is_no_other_file() -> None:
    served = Opened(NATIVE, FOUND)
    assert agree(FOUND._replace(size=6, mtime=FOUND.mtime + 1), served)
    assert not agree(FOUND._replace(type=stat.S_IFDIR), served)


@pytest.mark.parametrize(("path", "root"), [("/share", b"fh-share"), ("/share/d/f", b"fh-f")])
def test_the_share_is_found_at_its_path_and_asked_for_from_an_address_of_our_own(
    path: str, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nfs4, "_RESERVED", (0,))  # any port that is free: the others are root's
    callers: list[str] = []

    def serve() -> None:
        connection, caller = listener.accept()
        callers.append(caller[0])
        played.Server(connection).run()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        way = OverNfs(port=listener.getsockname()[1], path=path, caller="127.0.0.77")
        with connected(cast(View, None), FSID, way) as seen:
            assert (seen.root, seen.fsid) == (root, FSID)
        thread.join(20)
    assert callers == ["127.0.0.77"]
