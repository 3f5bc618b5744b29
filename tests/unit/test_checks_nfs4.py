"""The small NFS client against a server that is played by the rules of RFC 8881."""

from __future__ import annotations

import errno
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.checks.nfs4 import NfsError, Session, connected
from appliance.checks.xdr import Reader, opaque, uint, uint64
from appliance.linux.process import effective_capabilities, keep_capabilities

SESSION = b"sessionsessionse"
TREE = {b"": b"root", b"share": b"fh-share", b"share/d": b"fh-d", b"share/d/f": b"fh-f"}
NAMES = {handle: path for path, handle in TREE.items()}


class Server:
    """Answers compounds until its peer hangs up; `refuse` is a status for the next ones after SEQUENCE."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.busy = 0
        self.sequences: list[int] = []
        self.lookups = 0
        self.ended = 0
        self.garbage = b""

    def run(self) -> None:
        with self._connection:
            while mark := self._connection.recv(4, socket.MSG_WAITALL):
                call = Reader(self._connection.recv(struct.unpack(">I", mark)[0] & 0x7FFFFFFF, socket.MSG_WAITALL))
                reply = self.garbage or self._reply(call)
                half = len(reply) // 2 // 4 * 4  # two fragments of one record
                self._connection.sendall(uint(half) + reply[:half] + uint(1 << 31 | len(reply) - half) + reply[half:])

    def _reply(self, call: Reader) -> bytes:
        xid = call.uint()
        assert [call.uint() for _ in range(5)] == [0, 2, 100003, 4, 1]
        assert call.uint() == 1
        call.opaque()
        assert (call.uint(), call.opaque(), call.opaque(), call.uint()) == (0, b"", b"", 1)
        results, status, self._at = [], 0, b""
        for _ in range(call.uint()):
            operation = call.uint()
            status, result = self._do(operation, call)
            results.append(uint(operation, status) + result)
            if status:
                break
        return uint(xid, 1, 0, 0, 0, 0, status) + opaque(b"") + uint(len(results)) + b"".join(results)

    def _do(self, operation: int, call: Reader) -> tuple[int, bytes]:
        match operation:
            case 42:
                call.fixed(8)
                call.opaque()
                assert [call.uint() for _ in range(3)] == [0, 0, 0]
                return 0, uint64(77) + uint(5, 0, 0) + uint64(0) + opaque(b"x") * 2 + uint(0)
            case 43:
                assert (call.uint64(), call.uint(), call.uint()) == (77, 5, 0)
                call.fixed(2 * 7 * 4 + 3 * 4)
                return 0, SESSION + bytes(100)
            case 53:
                assert call.fixed(16) == SESSION
                self.sequences.append(call.uint())
                call.fixed(12)
                if self.busy:
                    self.busy -= 1
                    return 10008, b""
                return 0, SESSION + bytes(20)
            case 24:
                self._at = b""
                return 0, b""
            case 22:
                handle = call.opaque()
                self._at = NAMES.get(handle, b"?")
                return (0, b"") if handle in NAMES else (70, b"")
            case 15:
                self.lookups += 1
                self._at = (self._at + b"/" + call.opaque()).lstrip(b"/")
                return (0, b"") if self._at in TREE else (2, b"")
            case 10:
                return 0, opaque(TREE[self._at])
            case 9:
                assert [call.uint() for _ in range(call.uint())] == [0x100012, 0x200008]
                values = uint(1) + uint64(12) + uint64(34) + uint(2) + struct.pack(">qI", -1, 5)
                return 0, uint(2, 0x100012, 0x200008) + opaque(values)
            case 44 | 57:
                self.ended += 1
                call.fixed(16 if operation == 44 else 8)
                return 0, b""
        raise AssertionError(operation)


@contextmanager
def served() -> Iterator[tuple[Session, Server]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    server = Server(theirs)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with ours:
            yield Session(ours), server
    finally:
        thread.join(20)


def test_a_path_is_looked_up_and_a_handle_is_asked_about() -> None:
    with served() as (session, server):
        share = session.look_up([b"share"])
        assert share == b"fh-share"
        assert session.look_up([b"d", b"f"], share) == b"fh-f"
        assert session.look_up([], share) == b"fh-share"
        found = session.attributes(b"fh-f")
        assert (found.type, found.size, found.inode, found.links) == (stat.S_IFREG, 12, 34, 2)
        assert found.mtime == -1_000_000_000 + 5
        session.end()
        assert server.ended == 2
        assert server.sequences == [1, 2, 3, 4]


def test_a_refusal_is_the_errno_that_a_mount_would_give() -> None:
    with served() as (session, _):
        with pytest.raises(NfsError) as caught:
            session.attributes(b"unheard of")
        assert caught.value.errno == errno.ESTALE
        with pytest.raises(NfsError) as caught:
            session.look_up([b"share", b"nothing"])
        assert caught.value.errno == errno.ENOENT
        assert session.look_up([b"share"]) == b"fh-share"


def test_a_server_that_asks_for_patience_is_asked_again() -> None:
    with served() as (session, server):
        server.busy = 2
        assert session.look_up([b"share"]) == b"fh-share"
        assert len(server.sequences) == 3


def test_a_long_path_is_looked_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = [b"n%d" % number for number in range(20)]
    for depth in range(1, len(deep) + 1):
        path = b"/".join(deep[:depth])
        monkeypatch.setitem(TREE, path, b"fh-%d" % depth)
        monkeypatch.setitem(NAMES, b"fh-%d" % depth, path)
    with served() as (session, server):
        assert session.look_up(deep) == b"fh-20"
        assert server.lookups == 20
        assert len(server.sequences) == 3


@pytest.mark.parametrize("garbage", [b"\0\0\0\1" * 2, bytes(24), b"\0\0\0\1" * 40])
def test_a_reply_that_makes_no_sense_is_an_error_of_the_server(garbage: bytes) -> None:
    with served() as (session, server):
        server.garbage = garbage
        with pytest.raises(OSError, match=r"shorter|refused"):
            session.attributes(b"fh-f")


def test_a_call_that_lacks_the_capability_for_its_port_names_it() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 1024:
        pytest.skip("everybody may use ports below 1024 here")

    def call(port: int) -> str:
        if effective_capabilities():
            keep_capabilities(frozenset())  # of this thread alone
        with pytest.raises(PermissionError) as caught, connected("127.0.0.1", port, 20, "127.0.0.77"):
            pass
        return caught.value.strerror or ""

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        assert "NET_BIND_SERVICE" in thread.submit(call, listener.getsockname()[1]).result()
