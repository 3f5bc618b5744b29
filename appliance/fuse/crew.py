"""The crew: the workers of one share, how many there are to be, and which of them wait for storage.

A worker that stays at one request waits for storage. It is left alone, since it may still write, and another is
started in its place, up to a limit; when it comes back there is one too many, and one that is idle retires.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Never

from appliance.fuse.drain import Worker, find_worker, has_ended
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.scoreboard import MAX_WORKERS, Busy, Scoreboard, Slot, Word, WorkerStatus

_ATTACH_CHECK_SECONDS = 0.001
_CLEAN = 0  # wait status of a worker that has ended because it was told to


@dataclass
class Member:
    """A worker, and since when (time.monotonic) it was seen doing the same."""

    worker: Worker
    ours: bool  # a child of this process, not of a pool process before it
    retiring: bool = False
    doing: tuple[int, int] = (0, 0)  # its words REQUESTS and BUSY
    since: float = field(default_factory=time.monotonic)

    def waits(self, now: float) -> float:
        """For how many seconds it has been seen at the same request, 0 if it is idle."""
        return now - self.since if self.doing[1] else 0.0


class Crew:
    """All workers that have not ended. They are watched by `selector`, with their pid as data."""

    def __init__(
        self,
        options: PoolOptions,
        board: Scoreboard,
        selector: selectors.BaseSelector,
        serve: Callable[[Slot], Never],
    ) -> None:
        """`serve` is what a worker does in its own process."""
        self._options = options
        self._board = board
        self._selector = selector
        self._serve = serve
        self._members: dict[int, Member] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._members)

    def __contains__(self, pid: object) -> bool:
        """Whether this process id is a member's."""
        return pid in self._members

    @property
    def workers(self) -> list[Worker]:
        """All of them."""
        return [member.worker for member in self._members.values()]

    def adopt(self) -> None:
        """Take over what a pool process before this one has left; it was killed, and they serve on."""
        for slot in self._slots_in_use():
            if found := find_worker(slot):
                self._add(Member(found, ours=False))

    def fill(self) -> None:
        """Start workers until enough of them do not wait."""
        free = [index for index in range(self._options.slots) if not self._board.slot(index).words[Word.PID]]
        while free and len(self._ready()) < self._options.workers and len(self._members) < self._options.limit:
            self._fork(self._board.slot(free.pop(0)))

    def await_serving(self) -> bool:
        """Wait until each worker has attached, not for ever; False if one has ended instead."""
        deadline = time.monotonic() + self._options.patience
        with selectors.DefaultSelector() as ended:
            for worker in self.workers:
                ended.register(worker.pidfd, selectors.EVENT_READ)
            while not all(worker.slot.words[Word.SERVING] for worker in self.workers):
                if ended.select(_ATTACH_CHECK_SECONDS):
                    return False
                if time.monotonic() > deadline:
                    break
        return True

    def _fork(self, slot: Slot) -> None:
        slot.clear()
        pid = os.fork()
        if pid == 0:
            # The child's own word: if its parent is killed here, it is to be found by whoever comes next.
            slot.words[Word.PID] = os.getpid()
            self._serve(slot)
        slot.words[Word.PID] = pid
        self._add(Member(Worker(pid, os.pidfd_open(pid), slot), ours=True))

    def _add(self, member: Member) -> None:
        self._members[member.worker.pid] = member
        self._selector.register(member.worker.pidfd, selectors.EVENT_READ, data=member.worker.pid)

    # Ends

    def reap(self, pid: int) -> tuple[Member, int]:
        """Take note that a worker has ended. Returns it and its wait status, which of a stranger is not known."""
        member = self._members.pop(pid)
        self._selector.unregister(member.worker.pidfd)
        os.close(member.worker.pidfd)
        status = os.waitpid(pid, 0)[1] if member.ours else _CLEAN
        if member.retiring and status == _CLEAN:
            member.worker.slot.clear()
        return member, status

    def reap_ended(self, waiting: Iterable[Worker]) -> None:
        """After a drain: take note of who has ended, and of those that are at a request for too long."""
        for pid in [pid for pid in self._members if has_ended(pid)]:
            self.reap(pid)
        for worker in waiting:
            if member := self._members.get(worker.pid):
                self._note(member)
                member.since = min(member.since, time.monotonic() - self._options.patience)

    def graves(self) -> list[Slot]:
        """Return the slots of workers that have ended."""
        living = {worker.slot.index for worker in self.workers}
        return [slot for slot in self._slots_in_use() if slot.index not in living]

    def _slots_in_use(self) -> list[Slot]:
        slots = (self._board.slot(index) for index in range(MAX_WORKERS))
        return [slot for slot in slots if slot.words[Word.PID]]

    # Waiting

    def look(self) -> None:
        """See what everybody does, and start or retire as many as that takes."""
        for member in self._members.values():
            self._note(member)
        self.fill()
        ready = sorted(self._ready(), key=lambda member: member.worker.slot.index)
        for member in ready[self._options.workers :]:
            member.retiring = True
            member.worker.slot.words[Word.RETIRING] = 1
        for member in self._members.values():
            if member.retiring:
                _interrupt(member.worker)

    def _note(self, member: Member) -> None:
        words = member.worker.slot.words
        doing = words[Word.REQUESTS], words[Word.BUSY]
        if doing != member.doing or doing[1] == Busy.IDLE:
            member.doing, member.since = doing, time.monotonic()

    def _ready(self) -> list[Member]:
        waiting = self.waiting(self._options.patience)
        return [each for each in self._members.values() if each.ours and not each.retiring and each not in waiting]

    def known_to_wait(self) -> list[Worker]:
        """Return the workers that wait for storage, as of now."""
        for member in self._members.values():
            self._note(member)
        return [member.worker for member in self.waiting(self._options.patience)]

    def waiting(self, seconds: float) -> list[Member]:
        """Return those who have been at the same request for so long, the longest first."""
        now = time.monotonic()
        found = [member for member in self._members.values() if member.waits(now) >= seconds]
        return sorted(found, key=lambda member: member.since)

    def longest_wait(self) -> float:
        """For how many seconds the one that has been at its request for longest has been seen at it."""
        now = time.monotonic()
        return max((member.waits(now) for member in self._members.values()), default=0.0)

    def status(self) -> list[WorkerStatus]:
        """Return what each of them does."""
        now = time.monotonic()
        return [member.worker.slot.status(member.waits(now)) for member in self._members.values()]

    def poke(self, *, behind: bool) -> None:
        """Interrupt idle workers, so that they let go of what was removed, or not used for long."""
        counts = self._board.removal_counts(self._options.slots).cast("Q")
        for worker in self.workers:
            words = worker.slot.words
            seen = words[Word.REMOVALS_SEEN] + (counts[worker.slot.index] if worker.slot.index < len(counts) else 0)
            if not words[Word.BUSY] and words[Word.SERVING] and (not behind or seen != sum(counts)):
                _interrupt(worker)


def _interrupt(worker: Worker) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(worker.pidfd, signal.SIGUSR1)
