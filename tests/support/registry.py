"""A running daemon's registry of open files, and what the kernel itself has of backing ids."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.fuse.open_files import OpenFiles
from appliance.fuse.operation_numbers import OPERATIONS
from appliance.fuse.scoreboard import MAX_WORKERS, Scoreboard, Word
from appliance.linux import backing, libc
from tests.support.daemon import Daemon

_PIDFD_GETFD = 438  # on every architecture


def _descriptor(pid: int, target: str) -> int:
    """Return a copy of the descriptor that a process has of what /proc calls `target`."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = str(path.readlink())
        except FileNotFoundError:
            continue
        if found.startswith(target):
            pidfd = os.pidfd_open(pid)
            try:
                return libc.syscall(_PIDFD_GETFD, pidfd, int(path.name), 0)
            finally:
                os.close(pidfd)
    raise FileNotFoundError(f"process {pid} has no {target} open")


class Registry:
    """What the daemon's processes share."""

    def __init__(self, board: Scoreboard, connection: int) -> None:
        self._board = board
        self._connection = connection
        self.files = OpenFiles(board, lambda _: 0, lambda _: None)

    def operations(self) -> Counter[str]:
        """How often each operation was carried out since the share was mounted, whoever has died since."""
        return Counter({OPERATIONS[each.operation]: each.count for each in self._board.totals().operations})

    def busy_workers(self) -> list[int]:
        """Return the pids of workers that have served requests."""
        return [words[Word.PID] for words in self._workers() if words[Word.PID] and words[Word.REQUESTS]]

    def all_closed(self) -> bool:
        """Whether nothing is open, and every backing id has gone from the kernel as well as from the registry.

        A worker takes an id out of the registry first, under the lock, and then closes it, which may take long.
        """
        fcntl.lockf(self._board.fd, fcntl.LOCK_EX)
        try:
            closing = any(words[Word.CLOSING] for words in self._workers())
            return not (len(self.files) or self.files.ids or self.files.left or closing)
        finally:
            fcntl.lockf(self._board.fd, fcntl.LOCK_UN)

    def draining(self) -> bool:
        """Whether no request may be begun, since all that are to be sent again have to be left alone before."""
        return self._board.draining

    def _workers(self) -> list[memoryview]:
        return [self._board.slot(index).words for index in range(MAX_WORKERS)]

    def ids_of_the_kernel(self, most: int) -> list[int]:
        """Return which ids up to `most` exist, by closing them: for the end of a test, when there must be none."""
        return [number for number in range(1, most + 1) if backing.release(self._connection, number)]

    @property
    def made(self) -> int:
        """The id that was made last."""
        return self.files.last_id


@contextmanager
def registry(daemon: Daemon) -> Iterator[Registry]:
    """The registry of a running daemon."""
    board = Scoreboard(_descriptor(daemon.process.pid, "/memfd:holdfast-scoreboard"))
    connection = _descriptor(daemon.process.pid, "/dev/fuse")
    try:
        yield Registry(board, connection)
    finally:
        os.close(connection)
        board.close()
