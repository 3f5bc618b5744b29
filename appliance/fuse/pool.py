"""The pool process of a share: forks its workers, and when one dies makes as if nothing had happened.

It is single-threaded and serves no request itself. It has imported all that a worker needs, so that a new one takes
no more than a fork. It may be killed as well: whoever started it keeps the connection and the scoreboard, and a new
pool process begins with the same recovery that follows a worker's death.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
from typing import Never

from appliance.backoff import Backoff
from appliance.fuse import caching, invalidations, passthrough, pool_events, recovery, worker
from appliance.fuse.closer import Closer
from appliance.fuse.crew import Crew
from appliance.fuse.drain import drain
from appliance.fuse.keeper import Keeper
from appliance.fuse.operation_numbers import OPERATIONS
from appliance.fuse.owner import STOP, Owner
from appliance.fuse.pool_config import PoolConfig
from appliance.fuse.requests import Reader
from appliance.fuse.scoreboard import Busy, Scoreboard, Slot, Word
from appliance.fuse.watcher import Watched, Watcher
from appliance.linux import process

log = logging.getLogger(__name__)

_POKE_SECONDS = 5.0
_LOOKS = 4  # at what the workers do, in the time after which one of them is known to wait
_SAY_AGAIN = 5.0  # seconds after which it is said again that storage is slow
_STOP_PATIENCE = 3.0  # seconds; whoever started this process waits for somewhat longer


class Pool:
    """The workers of one connection."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._pid = os.getpid()
        self._board = Scoreboard(config.scoreboard)
        self._selector = selectors.DefaultSelector()
        self._owner = Owner(config.control, self._selector)
        self._queue = socket.socket(fileno=config.queue_sender)
        self._closer = Closer()
        receiver = socket.socket(fileno=config.queue_receiver)
        self._crew = Crew(config.options, self._board, self._selector, self._serve)
        self._keeper = Keeper(
            *(receiver, self._queue, config.connection, self._closer.close, self._owner.give, self._inode_released),
            self._crew.longest_wait,
        )
        self._reader = Reader(config.connection)
        self._files = passthrough.registry(self._board, config.connection)
        self._names_expire = False
        self._watcher: Watcher | None = None
        # Whoever had served requests died of something from outside, however often.
        self._backoff = Backoff(first=0.1, longest=5.0, healthy=10.0, free=3)
        self._ready = False
        self._stopping = False
        self._disconnected = False
        self._resend_due = False
        self._unasked: dict[int, recovery.Death] = {}  # slots of those whom nobody here has ended since a recovery
        self._refill_at: float | None = None
        self._next_poke = time.monotonic() + _POKE_SECONDS
        self._next_look = time.monotonic()
        self._slow_said: float | None = None
        self._deaths = 0
        self._resends = 0

    def run(self) -> None:
        """Serve until told to stop, or until the connection ends."""
        os.set_blocking(self._config.connection, True)  # a pool process before this one may have died while reading
        self._take_orders()  # what a pool process before this one kept
        self._crew.adopt()
        passthrough.decide(
            self._board, bytes.fromhex(self._config.init_request), wanted=self._config.options.passthrough
        )
        if self._config.options.watch:
            self._names_expire = invalidations.can_expire_names(self._config.connection)
            self._watcher = Watcher(self._watched())
        self._recover()
        while not (self._stopping or self._disconnected):
            self._watch_queue()
            for key, _ in self._selector.select(self._timeout()):
                self._handle(key)
            self._keep_time()
        if self._disconnected:
            self._tell(pool_events.PoolDisconnected())
        if self._watcher:
            self._watcher.stop()
        drain(self._board, self._crew.workers, _STOP_PATIENCE, self._mind_queue)

    # Events

    def _handle(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._owner:
            self._take_orders()
            self._owner.tell_rest()
        elif key.fileobj is self._keeper:
            self._keeper.queue_filled()
        elif key.fileobj is self._watcher:
            self._selector.unregister(self._watcher)
            self._watcher.heard()
            self._hear_watcher()
        elif key.data in self._crew:  # not if it was drained meanwhile
            self._worker_ended(key.data)

    def _take_orders(self) -> None:
        for order, descriptors in self._owner.orders():
            match order.split():
                case [b"status"]:
                    self._tell(self._status())
                case [b"keep", *nodes]:
                    for node, descriptor in zip(nodes, descriptors, strict=True):
                        self._keeper.keep(int(node), descriptor)
                case [word] if word == STOP:
                    self._stopping = True

    def _status(self) -> pool_events.PoolStatus:
        data_path = passthrough.status(self._board, self._files)
        reason = self._watcher.reason if self._watcher else "not wanted: nobody else is said to change the source"
        caching_status = pool_events.CachingStatus(watched=not reason, reason=reason)
        return pool_events.PoolStatus(
            self._crew.status(), self._deaths, self._resends, len(self._keeper), data_path, caching_status
        )

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
        self._owner.tell_rest()

    def _inode_released(self, node: int) -> None:
        self._tell(pool_events.InodeReleased(node))

    def _tell(self, event: pool_events.PoolEvent) -> None:
        self._owner.tell(event)

    def _timeout(self) -> float:
        due = [self._next_poke, self._next_look]
        if (check := self._keeper.next_check()) is not None:
            due.append(check)
        if self._refill_at is not None:
            due.append(self._refill_at)
        return max(0.0, min(due) - time.monotonic())

    def _keep_time(self) -> None:
        now = time.monotonic()
        self._closer.flush()
        if self._watcher and self._watcher.tend():
            self._hear_watcher()
        if self._keeper.check():
            self._crew.poke(behind=True)
        if now >= self._next_poke:
            self._next_poke = now + _POKE_SECONDS
            self._crew.poke(behind=False)
        if self._refill_at is not None:
            if now >= self._refill_at:
                self._refill_at = None
                self._recover()
        elif now >= self._next_look:
            self._next_look = now + self._config.options.patience / _LOOKS
            self._look()

    def _watched(self) -> Watched:
        config = self._config
        return Watched(
            config.connection, config.source, config.codec, config.options.table, self._board, self._names_expire
        )

    def _hear_watcher(self) -> None:
        if self._watcher and self._watcher.running:
            self._selector.register(self._watcher, selectors.EVENT_READ)

    # Slow storage

    def _look(self) -> None:
        """See who waits for storage, have others started meanwhile, and make up for a recovery that had to wait."""
        self._crew.look()
        if self._resend_due and not self._crew.known_to_wait():
            self._recover()
        waiting = self._crew.waiting(self._config.options.slow_after)
        if not waiting:
            if self._slow_said is not None:
                self._slow_said = None
                self._tell(pool_events.StorageFine())
        elif self._slow_said is None or time.monotonic() > self._slow_said + _SAY_AGAIN:
            self._slow_said = now = time.monotonic()
            words = waiting[0].worker.slot.words
            busy = words[Word.BUSY] == Busy.REQUEST
            operation = OPERATIONS[words[Word.OPERATION]] if busy else "close"
            node = words[Word.NODE] if busy else 0
            self._tell(pool_events.StorageSlow(operation, node, waiting[0].waits(now), len(waiting), len(self._crew)))

    # Deaths

    def _worker_ended(self, pid: int) -> None:
        """A worker has retired, or somebody has killed it, or it failed; then recover."""
        dead, status = self._crew.reap(pid)
        if not dead.ours or (dead.retiring and status == 0):
            return
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == worker.EXIT_DISCONNECTED:
            self._disconnected = True
            return
        reason = _reason(status)
        log.info("worker %d of %s ended: %s", pid, self._config.name, reason)
        self._deaths += 1
        self._unasked[dead.worker.slot.index] = recovery.Death.of(status)
        self._tell(pool_events.WorkerDied(pid, reason))
        if dead.worker.slot.words[Word.REQUESTS]:
            self._backoff.forget()
            self._recover()
        elif delay := self._backoff.after_failure(time.monotonic()):
            message = f"workers end as soon as they are started: {reason}"
            log.warning("%s; next try in %.1f s", message, delay)
            self._tell(pool_events.PoolDegraded(message, delay))
            self._refill_at = time.monotonic() + delay
        else:
            self._recover()

    def _recover(self) -> None:
        """End all workers, have the kernel send again what was not answered, and start new ones.

        Beside a worker that waits for storage nothing can be sent again, since its request would then be served
        twice at the same time. The others go on; what the dead had read waits until it is back.
        """
        began = time.monotonic()
        waiting = self._crew.known_to_wait()
        if not waiting:
            waiting = drain(self._board, self._crew.workers, self._config.options.patience, self._mind_queue)
            self._crew.reap_ended(waiting)
        self._resend_due = bool(waiting)
        intents = 0
        if not waiting:
            try:
                found = recovery.recover(
                    *(self._config.connection, self._reader, self._board, self._files),
                    *(self._crew.graves(), self._unasked),
                )
            except OSError as error:
                log.info("the connection of %s has ended: %s", self._config.name, error)
                self._disconnected = True
                return
            intents = found.intents
            self._unasked.clear()
            self._resends += 1
            for refused in found.refused:
                self._tell(pool_events.RequestRefused(refused.operation, refused.node, refused.deaths))
        self._crew.fill()
        if not self._crew.await_serving():
            return
        if self._ready:
            self._tell(pool_events.PoolRecovered((time.monotonic() - began) * 1000, intents))
        else:
            self._tell(pool_events.PoolReady(len(self._crew)))
            self._ready = True

    def _serve(self, slot: Slot) -> Never:
        """Be a worker, in a process just forked."""
        options = self._config.options
        self._owner.abandon()
        self._closer.abandon()
        self._keeper.abandon()
        if self._watcher:
            self._watcher.end()
        worker.run(
            worker.WorkerContext(
                pool_pid=self._pid,
                connection=self._config.connection,
                source=self._config.source,
                init_request=bytes.fromhex(self._config.init_request),
                board=self._board,
                queue=self._queue,
                slots=options.slots,
                descriptors=options.descriptors,
                codec=self._config.codec,
                table=options.table,
                validity=caching.validity(options, names_expire=self._names_expire),
                durable=options.durable,
            ),
            slot,
        )


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
