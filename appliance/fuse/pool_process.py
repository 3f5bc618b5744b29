"""The pool process as seen by the one who starts it, who keeps what has to outlive it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import replace

from appliance.fuse import keeper, pool_events
from appliance.fuse.connection import Connection
from appliance.fuse.key import NO_KEY
from appliance.fuse.pool_config import PoolConfig, PoolOptions
from appliance.fuse.pool_events import InodeKept, InodeReleased, PoolEvent
from appliance.fuse.scoreboard import Scoreboard
from appliance.fuse.source import Source

_MESSAGE_SIZE = 64 * 1024


class PoolProcess:
    """Starts and stops the pool process of one connection. Nothing blocks except `stop`.

    If the process dies, `start` begins another on the same connection and scoreboard; recovery is its first act.
    """

    def __init__(
        self, name: str, source: Source, connection: Connection, options: PoolOptions, key: bytes = NO_KEY
    ) -> None:
        """`key` makes the generations of this share's handles; see appliance.fuse.key."""
        self._name = name
        self._source = source
        self._connection = connection
        self._options = options
        self._board = Scoreboard.create(key)
        self._queue_receiver, self._queue_sender = keeper.make_queue()
        self._kept: dict[int, int] = {}  # node id to descriptor
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin a pool process; PoolReady follows when it serves. Raises OSError."""
        self._forget()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            config = PoolConfig(
                name=self._name,
                connection=self._connection.fd,
                source=self._source.fd,
                scoreboard=self._board.fd,
                control=theirs.fileno(),
                queue_receiver=self._queue_receiver.fileno(),
                queue_sender=self._queue_sender.fileno(),
                init_request=self._connection.init_request.hex(),
                codec=self._source.codec,
                options=self._options,
            )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "appliance.fuse.pool", config.to_argument()],
                stdin=subprocess.DEVNULL,
                pass_fds=(
                    *(config.connection, config.source, config.scoreboard, config.control),
                    *(config.queue_receiver, config.queue_sender),
                ),
            )
        self._control = ours
        for node, descriptor in self._kept.items():
            socket.send_fds(ours, [b"keep %d" % node], [descriptor])

    def resize(self, workers: int) -> None:
        """Serve with another number of workers from the next `start` on, which is due now. Blocks like `stop`.

        The scoreboard and the unlinked inodes that are kept go on.
        """
        self.stop()
        self._options = replace(self._options, workers=workers)

    def fileno(self) -> int:
        """The descriptor that is readable when `receive` has something to tell."""
        if self._control is None:
            raise ValueError("the pool process is not running")
        return self._control.fileno()

    def receive(self) -> list[PoolEvent] | None:
        """Return what has happened since the last call, without waiting; None if the process has died."""
        events: list[PoolEvent] = []
        while self._control is not None:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_SIZE, 1)
            except BlockingIOError:
                return events
            except ConnectionResetError:
                message = b""
            if not message:
                break
            match event := pool_events.decode(message):
                case InodeKept(node):
                    self._release(node)
                    self._kept[node] = descriptors[0]
                case InodeReleased(node):
                    self._release(node)
                case _:
                    events.append(event)
        if events:
            return events  # the next call finds the end again
        self._forget()
        return None

    def _release(self, node: int) -> None:
        if (descriptor := self._kept.pop(node, None)) is not None:
            os.close(descriptor)

    def request_status(self) -> None:
        """Ask for a PoolStatus event."""
        self._send(b"status")

    def stop(self, timeout: float = 5.0) -> None:
        """Drain the workers and end the process; after `timeout` seconds, kill it and them. Blocks for so long."""
        if self._process is None:
            return
        self._send(b"stop")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._forget()

    def _send(self, order: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._control is not None:
                self._control.send(order)

    def _forget(self) -> None:
        """Reap a process that has ended, or is about to because we let go of its control socket."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop the process and release the scoreboard. Source and connection remain their owner's."""
        self.stop()
        self._board.close()
        self._queue_receiver.close()
        self._queue_sender.close()
        for node in list(self._kept):
            self._release(node)
