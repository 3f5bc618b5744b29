"""A worker: a process that serves one request of a connection at a time and keeps nothing it cannot rebuild."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Never

import pyfuse3

from appliance.fuse import keeper, loop, passthrough, protocol
from appliance.fuse.boundary import Boundary
from appliance.fuse.caching import Validity
from appliance.fuse.changes import Changes
from appliance.fuse.codecs import choice
from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.durability import Durability
from appliance.fuse.file_handles import FileHandles, NodeHandles, RegisteredHandles
from appliance.fuse.inodes import Inodes
from appliance.fuse.intents import Intents
from appliance.fuse.key import HandleKey
from appliance.fuse.losses import Losses
from appliance.fuse.nodes import NodeId
from appliance.fuse.operations import Operations
from appliance.fuse.passthrough import DataPath
from appliance.fuse.scoreboard import Busy, Scoreboard, Slot, Word
from appliance.linux import memory, process

log = logging.getLogger(__name__)

EXIT_DISCONNECTED = 3  # the connection ended: the share is unmounted
AGE_SECONDS = 5.0
_GATE_SECONDS = 0.0005
_ROOM_SECONDS = 2
_ROOM_CHECK_SECONDS = 0.05
_ORPHAN_SECONDS = 20.0  # in which another pool process would have come

# What passing operations on to the source takes. DAC_READ_SEARCH opens by handle; DAC_OVERRIDE because the kernel has
# checked the caller's rights; the rest makes files that belong to the caller. No SYS_ADMIN: trusted.* stays hidden.
CAPABILITIES = frozenset(
    {
        process.CAP_CHOWN,
        process.CAP_DAC_OVERRIDE,
        process.CAP_DAC_READ_SEARCH,
        process.CAP_FOWNER,
        process.CAP_FSETID,
        process.CAP_MKNOD,
        process.CAP_SETFCAP,
        process.CAP_SETGID,
        process.CAP_SETUID,
    }
)


def _asleep(codec: CodecChoice, board: Scoreboard) -> frozenset[int]:
    """Return what is in force only for single system calls: XFS's generations, and backing ids, take SYS_ADMIN."""
    needed = choice.needs_sys_admin(codec) or board.data_path == DataPath.PASSTHROUGH
    return frozenset({process.CAP_SYS_ADMIN}) if needed else frozenset()


@dataclass(frozen=True)
class WorkerContext:
    """What a worker inherits from the pool process."""

    pool_pid: int
    connection: int
    source: int
    init_request: bytes
    board: Scoreboard
    queue: socket.socket
    slots: int
    descriptors: int
    codec: CodecChoice
    table: str
    validity: Validity
    durable: bool


def run(context: WorkerContext, slot: Slot) -> Never:
    """Serve until the connection ends, in a process just forked. Never returns."""
    try:
        _prepare_process()
        worker = _Worker(context, slot)
        worker.attach()
        # The kernel answers a request with EIO if it cannot copy it to whoever reads it, and into a page that has to
        # be made first it copies nothing for a process that SIGKILL has hit. So libfuse's buffer, allocated by its
        # first read(2), must be of pages that are there.
        memory.settle_heap(2 * protocol.MAX_WRITE)
        loop.run(worker.between_requests)
    except BaseException:
        log.exception("worker %d ends", os.getpid())
        os._exit(1)
    os._exit(EXIT_DISCONNECTED)


def _prepare_process() -> None:
    process.set_name("holdfast-worker")
    # Interrupts a read(2) that waits for a request, so that `between_requests` is called.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process.allow_descriptors()


class _Worker:
    """The parts of a worker, put together, and its housekeeping between requests."""

    def __init__(self, context: WorkerContext, slot: Slot) -> None:
        self._context = context
        self._board = context.board
        self._slot = slot
        self._words = slot.words
        self._others = [context.board.slot(index) for index in range(context.slots) if index != slot.index]
        self._removal_counts = context.board.removal_counts(context.slots)
        self._removals = self._removal_counts.tobytes()
        self._seen = {other.index: other.removed_count for other in self._others}
        slot.words[Word.REMOVALS_SEEN] = sum(self._seen.values())
        self._aged = time.monotonic()
        codec = choice.build(context.codec, context.source, context.table)
        self._inodes = Inodes(context.source, codec, HandleKey(context.board.key), context.descriptors)
        intents = Intents(context.board, slot)
        changes = Changes(self._inodes, intents, self)
        losses = Losses(context.board, slot, intents)
        durability = Durability(self._inodes, losses, durable=context.durable)
        identity = process.FileIdentity()
        self._open_files = passthrough.registry(context.board, context.connection)
        files: FileHandles = NodeHandles()
        if passthrough.extended():
            through = context.board.data_path == DataPath.PASSTHROUGH
            files = RegisteredHandles(self._open_files, slot, self._inodes, identity, passthrough=through)
        self._operations = Operations(
            context.source, self._inodes, changes, durability, losses, context.validity, identity, files
        )

    # Attaching

    def attach(self) -> None:
        """Let libfuse believe that it negotiates a new connection, then put the real one in its place."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.send(self._context.init_request)
        descriptor = theirs.detach()  # libfuse's from now on

        def connect() -> None:
            # libfuse is about to send its answer to FUSE_INIT. The kernel has had ours, finds no such request and
            # says ENOENT, which libfuse takes for an interrupted request and ignores.
            os.dup2(self._context.connection, descriptor, inheritable=False)
            ours.close()
            process.keep_capabilities_across_fsuid()
            process.keep_capabilities(CAPABILITIES, _asleep(self._context.codec, self._board))
            process.forbid_new_privileges()
            self._slot.words[Word.SERVING] = 1

        operations: Boundary = self._operations
        operations.attach(
            self._board,
            self._slot,
            self._drop_removed,
            self._wait_for_drain,
            self._wait_for_room,
        )
        operations.init = connect  # type: ignore[method-assign]
        pyfuse3.init(operations, f"/dev/fd/{descriptor}", set())

    # Housekeeping

    def between_requests(self) -> None:
        """The last reply has been sent. Say so, and let go of what others have removed or nobody has used."""
        words = self._words
        cache = self._inodes.cache
        words[Word.HITS], words[Word.MISSES] = cache.hits, cache.misses
        words[Word.DESCRIPTORS] = len(cache)
        self._slot.clear_intent()
        words[Word.OPENED] = 0
        words[Word.BUSY] = Busy.IDLE
        # A parent-death signal would not do: the kernel forgets it whenever the process changes its fsuid.
        if self._board.draining or words[Word.RETIRING] or self._is_orphan():
            os._exit(0)
        self._drop_removed()
        # Not before it has attached: until then it has rights that it will not have, and Raised would remember those.
        if words[Word.SERVING] and self._open_files.left:
            with self._housekeeping():
                self._open_files.close_left(self._slot)
        if time.monotonic() - self._aged > AGE_SECONDS:
            self._aged = time.monotonic()
            with self._housekeeping():
                cache.age()

    def _is_orphan(self) -> bool:
        return os.getppid() != self._context.pool_pid

    def _wait_for_drain(self) -> None:
        """Wait until somebody kills this process or lets it go on, or until nobody is there to do so."""
        patience = time.monotonic() + _ORPHAN_SECONDS
        while self._board.draining:
            time.sleep(_GATE_SECONDS)
            if time.monotonic() > patience and self._is_orphan():
                os._exit(0)

    def _wait_for_room(self, since: float) -> bool:
        """Wait a moment if something was removed lately: its blocks are free only when the keeper has let go of it.

        A caller who has removed it, and is told now that the filesystem is full, cannot know that. What is removed
        while it waits is none of its business, or it might wait for as long as somebody removes something.
        """
        now = time.monotonic()
        if now > min(since, self._board.last_removal / 1e9) + _ROOM_SECONDS:
            return False
        time.sleep(_ROOM_CHECK_SECONDS)
        return True

    @contextmanager
    def _housekeeping(self) -> Iterator[None]:
        """Say that this worker may be long although it is at no request: to close the last descriptor frees a file."""
        words = self._slot.words
        before = words[Word.BUSY]
        words[Word.BUSY] = Busy.HOUSEKEEPING
        yield
        words[Word.BUSY] = before

    def _drop_removed(self) -> None:
        """Close descriptors of inodes whose last name another worker has removed."""
        if self._removal_counts != self._removals:
            self._removals = self._removal_counts.tobytes()
            with self._housekeeping():
                self._drop_announced()

    def _drop_announced(self) -> None:
        for other in self._others:
            removed = other.removed_since(self._seen[other.index])
            if removed is None:
                self._inodes.cache.drop_all()
                self._seen[other.index] = other.removed_count
                continue
            for node in removed:
                self._inodes.cache.drop(NodeId(node))
            self._seen[other.index] += len(removed)
        self._slot.words[Word.REMOVALS_SEEN] = sum(self._seen.values())

    def last_name_goes(self, node: NodeId, descriptor: int) -> None:
        """Have the pool process keep the inode for as long as the kernel knows it: somebody may have it open."""
        keeper.hand_over(self._context.queue, node, descriptor)
        self._board.last_removal = time.monotonic_ns()

    def last_name_gone(self, node: NodeId) -> None:
        """Tell the other workers to let go of the inode."""
        self._slot.announce_removed(node)
