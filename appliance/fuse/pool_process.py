"""The pool process as seen by the one who starts it, who keeps what has to outlive it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Self

from appliance.fuse import keeper, pool_events
from appliance.fuse.connection import Connection
from appliance.fuse.fd_store import FdStore, Held, NoFdStore
from appliance.fuse.key import NO_KEY
from appliance.fuse.meter import Totals
from appliance.fuse.pool_config import MAX_ORDER_DESCRIPTORS, PoolConfig, PoolOptions
from appliance.fuse.pool_events import InodeKept, InodeReleased, PoolEvent
from appliance.fuse.scoreboard import Scoreboard
from appliance.fuse.source import Source
from appliance.linux.process import Process

_MODULE = "appliance.fuse.pool"
_MESSAGE_SIZE = 64 * 1024


class PoolProcess:
    """Starts and stops the pool process of one connection. Nothing blocks except `stop`.

    If the process dies, `start` begins another on the same connection and scoreboard; recovery is its first act.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        connection: Connection,
        options: PoolOptions,
        board: Scoreboard,
        queue: tuple[socket.socket, socket.socket],
        store: FdStore,
        module: str = _MODULE,
    ) -> None:
        """Use `create` or `adopt`."""
        self._name = name
        self._source = source
        self._connection = connection
        self._options = options
        self._board = board
        self._queue_receiver, self._queue_sender = queue
        self._store = store
        self._module = module
        self._kept: dict[int, int] = {}  # node id to descriptor
        self._untold: list[int] = []  # nodes among them that the process has not been told of yet
        self._process: Process | None = None
        self._control: socket.socket | None = None

    @classmethod
    def create(
        cls,
        name: str,
        source: Source,
        connection: Connection,
        options: PoolOptions,
        key: bytes = NO_KEY,
        store: FdStore | None = None,
        module: str = _MODULE,
    ) -> Self:
        """Prepare a pool process for a new connection.

        `key` makes the generations of this share's handles, see appliance.fuse.key; what a successor of this process
        needs for `adopt` is left in `store`. `module` is what the process runs: tests have one in which workers fail
        when they are told to.
        """
        board = Scoreboard.create(key)
        return cls(name, source, connection, options, board, keeper.make_queue(), store or NoFdStore(), module)

    @classmethod
    def adopt(
        cls,
        name: str,
        source: Source,
        connection: Connection,
        options: PoolOptions,
        held: Mapping[str, Held],
        store: FdStore,
    ) -> Self:
        """Go on with the pool process that somebody before us has started, as he left it in `store`.

        `held` are the store's entries. If the process had died by then, `pid` is None; if it has since, `receive`
        will say so.
        """
        pool = held[_pool_entry(name)]
        board, receiver, sender, *control = pool.descriptors
        queue = (socket.socket(fileno=receiver), socket.socket(fileno=sender))
        queue[0].setblocking(False)
        adopted = cls(name, source, connection, options, Scoreboard(board), queue, store)
        if control:
            adopted._process = Process(int(pool.text))
            adopted._control = socket.socket(fileno=control[0])
            adopted._control.setblocking(False)
        kept = _kept_entry(name, "")
        adopted._kept = {
            int(entry.removeprefix(kept)): one.descriptors[0] for entry, one in held.items() if entry.startswith(kept)
        }
        return adopted

    @staticmethod
    def entries(name: str, held: Mapping[str, Held]) -> list[str]:
        """Return which entries of a store are those that `adopt` needs. Raises KeyError if they are not complete."""
        pool, kept = _pool_entry(name), _kept_entry(name, "")
        if pool not in held:
            raise KeyError(pool)
        return [pool, *(entry for entry in held if entry.startswith(kept))]

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
            child = subprocess.Popen(
                [sys.executable, "-m", self._module, config.to_argument()],
                stdin=subprocess.DEVNULL,
                pass_fds=(
                    *(config.connection, config.source, config.scoreboard, config.control),
                    *(config.queue_receiver, config.queue_sender),
                ),
            )
        self._process = Process(child.pid, child)
        self._control = ours
        self._keep(ours, child.pid)
        self._untold = list(self._kept)
        self._tell_kept()

    def _tell_kept(self) -> None:
        """Tell the new process what is kept, as much as its socket takes; it answers when it has taken that."""
        while self._untold and self._control is not None:
            nodes = [node for node in self._untold[:MAX_ORDER_DESCRIPTORS] if node in self._kept]
            order = b"keep " + b" ".join(b"%d" % node for node in nodes)
            try:
                socket.send_fds(self._control, [order], [self._kept[node] for node in nodes])
            except OSError:
                return  # full, or it has died, which `receive` will find
            del self._untold[:MAX_ORDER_DESCRIPTORS]

    def resize(self, options: PoolOptions) -> None:
        """Serve in another way from the next `start` on, which is due now. Blocks like `stop`.

        The scoreboard and the unlinked inodes that are kept go on.
        """
        self.stop()
        self._options = options

    def fileno(self) -> int:
        """The descriptor that is readable when `receive` has something to tell."""
        if self._control is None:
            raise ValueError("the pool process is not running")
        return self._control.fileno()

    def receive(self) -> list[PoolEvent] | None:
        """Return what has happened since the last call, without waiting; None if the process has died."""
        self._tell_kept()
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
                    self._store.keep(_kept_entry(self._name, node), "", descriptors[:1])
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
            # To close the last copy frees the file's blocks, and waits for storage that may be gone: so not here, and
            # not in the store, whose copy goes while we have ours.
            self._store.drop(_kept_entry(self._name, node))
            threading.Thread(target=os.close, args=(descriptor,), daemon=True).start()

    def totals(self) -> Totals:
        """Return what the share's workers have counted since it was mounted. Nobody is asked."""
        return self._board.totals()

    def request_status(self) -> None:
        """Ask for a PoolStatus event."""
        self._send(b"status")

    def stop(self, timeout: float = 5.0) -> None:
        """Drain the workers and end the process; after `timeout` seconds, kill it. Blocks for so long."""
        if self._process is None:
            return
        self._send(b"stop")
        if not self._process.wait(timeout):
            self._process.kill()
        self._forget()

    def _send(self, order: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._control is not None:
                self._control.send(order)

    def _forget(self) -> None:
        """Reap a process that has ended, or is about to because we let go of its control socket."""
        if self._control is not None:
            self._keep(None, 0)  # a copy of the control socket in the store would keep the process from ending
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.wait()
            self._process.close()
            self._process = None

    def _keep(self, control: socket.socket | None, pid: int) -> None:
        """Leave in the store what a successor of this process needs."""
        lasting = (self._board.fd, self._queue_receiver.fileno(), self._queue_sender.fileno())
        descriptors = (*lasting, control.fileno()) if control else lasting
        self._store.keep(_pool_entry(self._name), str(pid), descriptors, spare=pid)

    def close(self) -> None:
        """Stop the process and release the scoreboard. Source and connection remain their owner's."""
        self.stop()
        self._board.close()
        self._queue_receiver.close()
        self._queue_sender.close()
        for node in list(self._kept):
            self._release(node)
        self._store.drop(_pool_entry(self._name))


def _pool_entry(name: str) -> str:
    return f"pool/{name}"


def _kept_entry(name: str, node: int | str) -> str:
    return f"kept/{name}/{node}"
