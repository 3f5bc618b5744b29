"""The pool process of a share: forks its workers, and when one dies makes as if nothing had happened.

It is single-threaded and serves no request itself. It has imported all that a worker needs, so that a new one takes
no more than a fork. It may be killed as well: whoever started it keeps the connection and the scoreboard, and a new
pool process begins with the same recovery that follows a worker's death.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time

from appliance.fuse import pool_events, protocol, worker
from appliance.fuse.attributes import Validity
from appliance.fuse.backoff import Backoff
from appliance.fuse.drain import Worker, drain, find_worker
from appliance.fuse.keeper import Keeper
from appliance.fuse.pool_config import PoolConfig
from appliance.fuse.scoreboard import MAX_WORKERS, Scoreboard, Word
from appliance.linux import process

log = logging.getLogger(__name__)

_POKE_SECONDS = 5.0
_ATTACH_CHECK_SECONDS = 0.001


class Pool:
    """The workers of one connection."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._board = Scoreboard(config.scoreboard)
        self._control = socket.socket(fileno=config.control)
        self._control.setblocking(False)
        self._queue = socket.socket(fileno=config.queue_sender)
        receiver = socket.socket(fileno=config.queue_receiver)
        self._keeper = Keeper(receiver, config.connection, self._inode_kept, self._inode_released)
        self._workers: dict[int, Worker] = {}
        self._backoff = Backoff()
        self._selector = selectors.DefaultSelector()
        self._ready = False
        self._stopping = False
        self._disconnected = False
        self._refill_at: float | None = None
        self._next_poke = time.monotonic() + _POKE_SECONDS
        self._deaths = 0
        self._resends = 0

    def run(self) -> None:
        """Serve until told to stop, or until the connection ends."""
        self._selector.register(self._control, selectors.EVENT_READ)
        self._take_orders()  # what a pool process before this one kept
        self._drain_predecessors()
        self._recover()
        while not (self._stopping or self._disconnected):
            self._watch_queue()
            for key, _ in self._selector.select(self._timeout()):
                self._handle(key)
            self._keep_time()
        if self._disconnected:
            self._tell(pool_events.PoolDisconnected())
        drain(self._board, self._workers.values(), self._mind_queue)
        self._collect_intents()

    # Events

    def _handle(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._control:
            self._take_orders()
        elif key.fileobj is self._keeper:
            self._keeper.queue_filled()
        elif key.data in self._workers:
            self._worker_ended(self._workers[key.data])

    def _take_orders(self) -> None:
        while not self._stopping:
            try:
                order, descriptors, _, _ = socket.recv_fds(self._control, 64, 1)
            except BlockingIOError:
                return
            match order.split():
                case [b"status"]:
                    slots = [self._board.slot(index).status() for index in self._slots_in_use()]
                    self._tell(pool_events.PoolStatus(slots, self._deaths, self._resends, len(self._keeper)))
                case [b"keep", node]:
                    self._keeper.keep(int(node), descriptors[0])
                case [b"stop"] | []:  # nothing: whoever started this process is gone
                    self._stopping = True

    def _watch_queue(self) -> None:
        """Have the selector look at the keeper's queue only while it is empty, since entries stay in it for a while."""
        watched = self._keeper.fileno() in self._selector.get_map()
        if self._keeper.awaits_queue and not watched:
            self._selector.register(self._keeper, selectors.EVENT_READ)
        elif watched and not self._keeper.awaits_queue:
            self._selector.unregister(self._keeper)

    def _mind_queue(self) -> None:
        """While waiting for workers: see that none of them waits for room in the queue."""
        self._keeper.queue_filled()
        self._keeper.check()

    def _inode_kept(self, node: int, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._control, [pool_events.encode(pool_events.InodeKept(node))], [descriptor])

    def _inode_released(self, node: int) -> None:
        self._tell(pool_events.InodeReleased(node))

    def _tell(self, event: pool_events.PoolEvent) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._control.send(pool_events.encode(event))

    def _timeout(self) -> float:
        due = [self._next_poke]
        if (check := self._keeper.next_check()) is not None:
            due.append(check)
        if self._refill_at is not None:
            due.append(self._refill_at)
        return max(0.0, min(due) - time.monotonic())

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._keeper.check():
            self._poke(behind=True)
        if now >= self._next_poke:
            self._next_poke = now + _POKE_SECONDS
            self._poke(behind=False)
        if self._refill_at is not None and now >= self._refill_at:
            self._refill_at = None
            self._recover()

    def _poke(self, *, behind: bool) -> None:
        """Interrupt idle workers, so that they let go of what was removed, or not used for long."""
        counts = self._board.removal_counts(self._config.options.workers).cast("Q")
        for each in self._workers.values():
            words = each.slot.words
            seen = words[Word.REMOVALS_SEEN] + counts[each.slot.index]
            if not words[Word.BUSY] and words[Word.SERVING] and (not behind or seen != sum(counts)):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(each.pidfd, signal.SIGUSR1)

    # Deaths

    def _worker_ended(self, dead: Worker) -> None:
        """Somebody killed a worker, or it failed: drain the others, queue all requests again, fill up."""
        status = self._reap(dead)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == worker.EXIT_DISCONNECTED:
            self._disconnected = True
            return
        reason = _reason(status)
        log.info("worker %d of %s ended: %s", dead.pid, self._config.name, reason)
        self._deaths += 1
        self._tell(pool_events.WorkerDied(dead.pid, reason))
        served = bool(dead.slot.words[Word.REQUESTS])
        delay = self._backoff.after_death(time.monotonic(), served=served)
        drain(self._board, self._workers.values(), self._mind_queue)
        for each in list(self._workers.values()):
            self._reap(each)
        if delay:
            message = f"workers end as soon as they are started: {reason}"
            log.warning("%s; next try in %.1f s", message, delay)
            self._tell(pool_events.PoolDegraded(message, delay))
            self._refill_at = time.monotonic() + delay
        else:
            self._recover()

    def _reap(self, dead: Worker) -> int:
        _, status = os.waitpid(dead.pid, 0)
        self._selector.unregister(dead.pidfd)
        os.close(dead.pidfd)
        del self._workers[dead.pid]
        return status

    def _drain_predecessors(self) -> None:
        """End the workers that a pool process before this one has left; it was killed, and they serve on."""
        found = [left for index in self._slots_in_use() if (left := find_worker(self._board.slot(index)))]
        drain(self._board, found, self._mind_queue)
        for each in found:
            os.close(each.pidfd)

    def _slots_in_use(self) -> list[int]:
        return [index for index in range(MAX_WORKERS) if self._board.slot(index).words[Word.PID]]

    def _collect_intents(self) -> int:
        """Move what dead workers intended to where the next ones look. Returns how many there were."""
        found = 0
        for index in self._slots_in_use():
            slot = self._board.slot(index)
            if intent := slot.intent():
                self._board.add_recovered(intent)
                found += 1
            slot.clear()
        return found

    def _recover(self) -> None:
        """With no worker left: collect their intents, have the kernel send again what they had, start new ones."""
        began = time.monotonic()
        intents = self._collect_intents()
        try:
            os.write(self._config.connection, protocol.resend())
        except OSError as error:
            log.info("the connection of %s has ended: %s", self._config.name, error)
            self._disconnected = True
            return
        self._resends += 1
        for index in range(self._config.options.workers):
            self._fork(index)
        if not self._all_serving():
            return
        if self._ready:
            self._tell(pool_events.PoolRecovered((time.monotonic() - began) * 1000, intents))
        else:
            self._tell(pool_events.PoolReady(len(self._workers)))
            self._ready = True

    def _fork(self, index: int) -> None:
        slot = self._board.slot(index)
        options = self._config.options
        pool_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._control.close()
            worker.run(
                worker.WorkerContext(
                    pool_pid=pool_pid,
                    connection=self._config.connection,
                    source=self._config.source,
                    init_request=bytes.fromhex(self._config.init_request),
                    board=self._board,
                    queue=self._queue,
                    workers=options.workers,
                    descriptors=options.descriptors,
                    codec=self._config.codec,
                    table=options.table,
                    validity=Validity(options.entry_timeout, options.attr_timeout),
                ),
                slot,
            )
        slot.words[Word.PID] = pid
        each = Worker(pid, os.pidfd_open(pid), slot)
        self._workers[pid] = each
        self._selector.register(each.pidfd, selectors.EVENT_READ, data=pid)

    def _all_serving(self) -> bool:
        """Wait until each worker has attached; False if one has ended instead, which the main loop then sees to."""
        with selectors.DefaultSelector() as ended:
            for each in self._workers.values():
                ended.register(each.pidfd, selectors.EVENT_READ)
            while not all(each.slot.words[Word.SERVING] for each in self._workers.values()):
                if ended.select(_ATTACH_CHECK_SECONDS):
                    return False
        return True


def _reason(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def main() -> None:
    """Run the pool process that the first argument describes."""
    config = PoolConfig.from_argument(sys.argv[1])
    logging.basicConfig(format=f"holdfast {config.name}: %(message)s", level=logging.WARNING)
    process.set_name("holdfast-pool")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ^C is for whoever started us, who then says "stop"
    gc.freeze()  # workers share these objects' memory with us; the collector must not write to it
    Pool(config).run()


if __name__ == "__main__":
    main()
