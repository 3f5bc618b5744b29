"""The keeper: unlinked inodes stay for those who have them open.

Workers have no open files, so nothing of ours keeps an inode alive when its last name goes, while a client may read on
from the file it has open. So before a worker removes a last name it puts a descriptor into a queue. A moment later the
pool process looks at it: if the kernel does not know the inode any more, that was all; if it does, the
descriptor is kept until it does not. To ask costs one notification to drop the attributes of a node, which the kernel
answers with ENOENT for an unknown one; FORGET needs no counting for that, and a lost one does no harm.

No death loses a descriptor: the queue is a socket that belongs to whoever started the pool process, a descriptor is
taken out of it only after it has been decided on, and those that are kept are given to that owner as well. What he
does not take goes to the end of the queue and is decided on again. Only if he takes nothing for long and the queue is
full, something is taken out all the same, since workers wait for room in it, and is given to him later.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from appliance.fuse import protocol

_MESSAGE = struct.Struct("=Qd")  # node id, time of time.monotonic
_DESCRIPTOR = struct.Struct("=i")
_FIRST_CHECK = 0.05  # seconds; doubled after each check that finds the inode still in use
_LAST_CHECK = 5.0
_AGAIN = 0.2  # seconds until the owner is asked again to take what is in the queue
_NEVER_REMOVED = 30.0  # seconds after which an inode that still has a name was not removed, if nobody is at it still
_NOT_TAKEN = 30.0  # seconds in a full queue after which the owner is not waited for
_QUEUE_BYTES = 4 << 20  # some thousand removals
_SO_SNDBUFFORCE = 32


def make_queue() -> tuple[socket.socket, socket.socket]:
    """Return the queue's two ends: the keeper's and the workers'."""
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receiver.setblocking(False)
    with contextlib.suppress(PermissionError):
        sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _QUEUE_BYTES)
    return receiver, sender


def hand_over(queue: socket.socket, node: int, descriptor: int) -> None:
    """Give the keeper a descriptor of an inode that is about to lose its last name."""
    socket.send_fds(queue, [_MESSAGE.pack(node, time.monotonic())], [descriptor])


@dataclass
class _Kept:
    descriptor: int
    since: float
    interval: float
    due: float
    told: bool = True  # to the owner


class Keeper:
    """Decides on what is in the queue, and keeps what is in use. Times are those of time.monotonic."""

    def __init__(
        self,
        queue: socket.socket,
        sender: socket.socket,
        connection: int,
        close: Callable[[int], None],
        on_keep: Callable[[int, int], bool],
        on_release: Callable[[int], None],
        longest_wait: Callable[[], float],
    ) -> None:
        """`queue` is where the keeper takes from, `sender` its other end.

        `on_keep` is given node id and descriptor of what is kept from now on, `on_release` the node id after.

        If `on_keep` returns False, since there was no room to pass the descriptor on, it is asked again a moment later.

        `longest_wait` tells for how many seconds some worker has been at its request by now: a removal on storage that
        does not answer is not over, and the name is still there.

        `close` closes a descriptor that may be the last of an unlinked inode, without waiting.
        """
        self._queue = queue
        self._sender = sender
        self._connection = connection
        self._close = close
        self._on_keep = on_keep
        self._on_release = on_release
        self._longest_wait = longest_wait
        self._kept: dict[int, _Kept] = {}
        self._queue_due: float | None = time.monotonic()

    def __len__(self) -> int:
        """How many inodes are kept."""
        return len(self._kept)

    def fileno(self) -> int:
        """The queue's descriptor: readable when `queue_filled` is to be called."""
        return self._queue.fileno()

    @property
    def awaits_queue(self) -> bool:
        """Whether the queue was empty, so that nothing is due until it is readable."""
        return self._queue_due is None

    def queue_filled(self) -> None:
        """A worker has handed something over; it may be looked at in a moment."""
        if self._queue_due is None:
            self._queue_due = time.monotonic() + _FIRST_CHECK

    def keep(self, node: int, descriptor: int) -> None:
        """Keep an inode, for one that has been decided on before."""
        now = time.monotonic()
        self._forget(node)
        self._kept[node] = _Kept(descriptor, now, _FIRST_CHECK, now)

    def abandon(self) -> None:
        """Close all descriptors, without a word: for a forked child, which would keep the inodes for itself."""
        for kept in self._kept.values():
            os.close(kept.descriptor)
        self._kept.clear()

    def next_check(self) -> float | None:
        """When `check` has something to do again; None while nothing is kept or queued."""
        due = [kept.due for kept in self._kept.values()]
        if self._queue_due is not None:
            due.append(self._queue_due)
        return min(due, default=None)

    def check(self) -> bool:
        """Look at what is due. Returns whether the keeper let go of any inode."""
        now = time.monotonic()
        released = [node for node, kept in self._kept.items() if kept.due <= now and not self._still_used(node, now)]
        for node in released:
            self._forget(node)
            self._on_release(node)
        dropped = False
        while self._queue_due is not None and self._queue_due <= now:
            dropped |= self._check_oldest(now)
        return bool(released) or dropped

    def _check_oldest(self, now: float) -> bool:
        """Decide on the oldest in the queue, if it is due. Returns whether it was let go."""
        try:
            message, descriptor = self._receive(socket.MSG_PEEK)
        except BlockingIOError:
            self._queue_due = None
            return False
        node, removed_at = _MESSAGE.unpack(message)
        if removed_at + _FIRST_CHECK > now:
            self._queue_due = removed_at + _FIRST_CHECK
            os.close(descriptor)
            return False
        in_use = os.stat(descriptor).st_nlink > 0 or self._known_to_kernel(node)
        if in_use:
            told = self._on_keep(node, descriptor)
            if not told and self._queue_again(node, descriptor, now):
                self._close(self._receive(0)[1])
                os.close(descriptor)
                return False
            if not told and now < removed_at + _NOT_TAKEN:
                self._queue_due = now + _FIRST_CHECK
                os.close(descriptor)
                return False
            self._forget(node)
            self._kept[node] = _Kept(descriptor, now, _FIRST_CHECK, now + _FIRST_CHECK, told)
        else:
            os.close(descriptor)
        # Only now: until here a new pool process would have found it in the queue.
        self._close(self._receive(0)[1])
        return not in_use

    def _queue_again(self, node: int, descriptor: int, now: float) -> bool:
        """Put a descriptor at the end of the queue; tell whether there was room."""
        try:
            self._sender.sendmsg(
                [_MESSAGE.pack(node, now + _AGAIN)],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))],
                socket.MSG_DONTWAIT,
            )
        except OSError:  # none, or too many descriptors on their way (ETOOMANYREFS)
            return False
        return True

    def _receive(self, flags: int) -> tuple[bytes, int]:
        """Receive one message with its descriptor; socket.recv_fds would not pass the flags on."""
        message, ancillary, _, _ = self._queue.recvmsg(_MESSAGE.size, socket.CMSG_SPACE(_DESCRIPTOR.size), flags)
        ((_, _, data),) = ancillary
        return message, _DESCRIPTOR.unpack(data)[0]

    def _forget(self, node: int) -> None:
        if (kept := self._kept.pop(node, None)) is not None:
            self._close(kept.descriptor)

    def _still_used(self, node: int, now: float) -> bool:
        kept = self._kept[node]
        kept.interval = min(kept.interval * 2, _LAST_CHECK)
        kept.due = now + kept.interval
        kept.told = kept.told or self._on_keep(node, kept.descriptor)
        if os.stat(kept.descriptor).st_nlink > 0:
            return now - kept.since < _NEVER_REMOVED + self._longest_wait()
        return self._known_to_kernel(node)

    def _known_to_kernel(self, node: int) -> bool:
        try:
            os.write(self._connection, protocol.invalidate_attributes(node))
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENOTCONN)
        return True
