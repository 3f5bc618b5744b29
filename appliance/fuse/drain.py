"""Draining: ending workers so that each request is either answered or untouched.

RESEND queues *every* request again that was read and not answered, also those that live workers are at. So before it
is sent there must be no worker at a request. The scoreboard says that none may be begun. A worker at one ends by
itself when it has replied; one that has read another waits before it begins; one that waits in read(2) sees nothing of
that and is stopped and looked at. When all stand still they are killed: what they had read is queued again and lost
by nobody.

A worker may be at a request for as long as the storage pleases, and nothing that may still write is killed. So draining
has an end: if somebody is at a request after `patience` seconds, everybody goes on as if nothing had been, and
RESEND has to wait.
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


def drain(board: Scoreboard, workers: Iterable[Worker], patience: float, meanwhile: Callable[[], None]) -> list[Worker]:
    """End all workers, or none that has anything to do: return those that were at a request for `patience` seconds.

    `meanwhile` is called while waiting.
    """
    deadline = time.monotonic() + patience
    workers = list(workers)
    board.draining = True
    try:
        left = [worker for worker in workers if not _at_rest(worker)]
        while left and time.monotonic() < deadline:
            meanwhile()
            time.sleep(_LOOK_AGAIN)
            left = [worker for worker in left if not _at_rest(worker)]
        for worker in workers:
            _send(worker, signal.SIGCONT if left else signal.SIGKILL)
        while not left and not all(has_ended(worker.pid) for worker in workers):
            time.sleep(_LOOK_AGAIN)
    finally:
        board.draining = False
    return left


def _at_rest(worker: Worker) -> bool:
    """Stop a worker that is not at a request. Tells whether it has stopped, or ended."""
    if worker.slot.words[Word.BUSY]:
        return has_ended(worker.pid)  # else it ends when it has replied
    # A store and a load on two processors are ordered only by something like this stop: without it the worker could
    # begin a request after we saw it idle and before it sees that the share is being drained.
    _send(worker, signal.SIGSTOP)
    while (state := _state(worker.pid)) not in "TtZX":
        if state == "D":
            return False  # in a system call that waits for storage, it stops when it comes back
        time.sleep(0)
    if state in "Tt" and worker.slot.words[Word.BUSY]:
        _send(worker, signal.SIGCONT)
        return False
    return True


def _send(worker: Worker, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(worker.pidfd, number)


def find_worker(slot: Slot) -> Worker | None:
    """Return the worker that a slot speaks of, which need not be a child of this process; None if it has ended."""
    pid = slot.words[Word.PID]
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # The number may be another process's by now.
        if not has_ended(pid) and Path(f"/proc/{pid}/comm").read_text().startswith(PROCESS_NAME):
            return Worker(pid, pidfd, slot)
    os.close(pidfd)
    return None


def has_ended(pid: int) -> bool:
    """Tell whether there is no such process any more, or only its exit status."""
    return _state(pid) in "ZX"


def _state(pid: int) -> str:
    """Return the state letter of proc(5): T stopped, D waiting for storage, Z ended, X (ours) not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1].decode()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
