"""The control socket: who may speak, framing, and errors turned into replies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from pydantic import ValidationError

from appliance.control.messages import MAX_MESSAGE, Failure, Question, Reply, Request, encode
from appliance.control.peer import credentials
from appliance.errors import HoldfastError
from appliance.logs import facts
from appliance.model import fault

_LOG = facts(__name__)


class ControlServer:
    """Serves a unix stream socket; each line is a request and gets one line as its reply."""

    def __init__(self, path: Path, users: Collection[int], answer: Callable[[Request, str], Awaitable[Reply]]) -> None:
        """Only processes of the given `users` (uids) are answered; `answer` is told who they say is asking them."""
        self._path = path
        self._users = frozenset(users)
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, group: int = -1) -> None:
        """Listen; members of `group` may connect besides root. Raises OSError."""
        self._path.unlink(missing_ok=True)
        # Nobody can connect between bind(2) and chmod(2), since nobody listens yet.
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        os.chown(self._path, -1, group)
        os.chmod(self._path, 0o660)
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=MAX_MESSAGE)

    async def stop(self) -> None:
        """Stop listening and drop the connections there are."""
        if self._server:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this as a task
        self._connections.add(task)
        try:
            peer = credentials(writer.get_extra_info("socket"))
            if peer.uid in self._users:
                await self._converse(reader, writer)
            else:
                _LOG.warning("a stranger at the control socket was turned away", pid=peer.pid, uid=peer.uid)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side went away
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                failure = Failure(code="invalid", message=f"a request has at most {MAX_MESSAGE} bytes")
                writer.write(encode(failure))
                return
            writer.write(encode(await self._reply(line)))
            await writer.drain()

    async def _reply(self, line: bytes) -> Reply:
        try:
            question = Question.model_validate_json(line)
        except ValidationError as error:
            return Failure.of(fault(error.errors(), skip=2))  # the first parts are `request` and its kind
        try:
            return await self._answer(question.request, question.by)
        except HoldfastError as error:
            return Failure.of(error)
        except Exception:  # noqa: BLE001 - one request's defect must not end the supervisor
            _LOG.exception("a request failed")
            return Failure(code="internal", message="the appliance failed to do this", hint="see its log")
