"""The NULL call, spoken to a server that is played byte by byte from RFC 5531."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest

from appliance.nfs.null_call import answers

Reply = Callable[[int], bytes]


def record(*words: int) -> bytes:
    body = struct.pack(f">{len(words)}I", *words)
    return struct.pack(">I", 0x80000000 | len(body)) + body


def asked(reply: Reply, timeout: float = 5) -> bool:
    """Whether `answers` is content with a server that replies like this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header, xid, *words = struct.unpack(">11I", await reader.readexactly(44))
        assert header == 0x80000028  # the last fragment, of 40 bytes
        assert words == [0, 2, 100003, 4, 0, 0, 0, 0, 0]
        writer.write(reply(xid))
        await writer.drain()
        if not reply(xid):
            await reader.read()
        writer.close()

    async def body() -> bool:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await answers(server.sockets[0].getsockname()[1], timeout, host="127.0.0.1")

    return asyncio.run(body())


def test_a_server_that_works() -> None:
    assert asked(lambda xid: record(xid, 1, 0, 0, 0, 0))


@pytest.mark.parametrize(
    "reply",
    [
        lambda xid: record(xid ^ 1, 1, 0, 0, 0, 0),
        lambda xid: record(xid, 1, 0, 0, 0, 1),  # PROG_UNAVAIL
        lambda xid: record(xid, 1, 0, 0, 0, 2, 3, 3),  # PROG_MISMATCH: version 3 only
        lambda xid: record(xid, 1, 1, 1, 5),  # denied
        lambda xid: record(xid),
        lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_a_server_that_does_not(reply: Reply) -> None:
    assert not asked(reply)


def test_a_server_that_says_nothing() -> None:
    assert not asked(lambda _: b"", timeout=0.2)


def test_no_server() -> None:
    assert not asyncio.run(answers(1, 1, host="127.0.0.1"))
