"""Draining: ending workers so that each request is either answered or untouched.

RESEND queues *every* request again that was read and not answered, also those that live workers are at. So before it
is sent there must be no live worker. One that is at a request ends by itself when it has replied, because the
scoreboard says so; one that waits in read(2) does not see that and is stopped, looked at and killed. What it had
read without having begun is queued again and lost by nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.fuse.scoreboard import Scoreboard, Slot, Word

PROCESS_NAME = "holdfast-"  # all processes of a share are called so
_LOOK_AGAIN = 0.0002  # seconds


@dataclass(frozen=True)
class Worker:
    """A worker process; its pidfd becomes readable when it has ended."""

    pid: int
    pidfd: int
    slot: Slot


def drain(board: Scoreboard, workers: Iterable[Worker], meanwhile: Callable[[], None]) -> None:
    """End all workers and return when the last is gone; `meanwhile` is called while waiting for it."""
    board.draining = True
    try:
        left = list(workers)
        while left:
            for worker in left:
                _end_if_idle(worker)
            left = [worker for worker in left if _state(worker.pid) not in "ZX"]
            meanwhile()
            if left:
                time.sleep(_LOOK_AGAIN)
    finally:
        board.draining = False


def _end_if_idle(worker: Worker) -> None:
    if worker.slot.words[Word.BUSY]:
        return  # it ends when it has replied
    # A store and a load on two processors are ordered only by something like this stop: without it the worker could
    # begin a request after we saw it idle and before it sees that the share is being drained.
    os.kill(worker.pid, signal.SIGSTOP)
    while (state := _state(worker.pid)) not in "TtZX":
        if state == "D":
            return  # in a system call that waits for storage, so it is busy; it stops when it comes back
        time.sleep(0)
    os.kill(worker.pid, signal.SIGCONT if worker.slot.words[Word.BUSY] else signal.SIGKILL)


def find_worker(slot: Slot) -> Worker | None:
    """Return the worker that a slot speaks of, which need not be a child of this process; None if it has ended."""
    pid = slot.words[Word.PID]
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # The number may be another process's by now.
        if Path(f"/proc/{pid}/comm").read_text().startswith(PROCESS_NAME):
            return Worker(pid, pidfd, slot)
    os.close(pidfd)
    return None


def _state(pid: int) -> str:
    """Return the state letter of proc(5): T stopped, D waiting for storage, Z ended, X (ours) not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1].decode()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
