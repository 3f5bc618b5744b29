"""The keeper: unlinked inodes stay for those who have them open.

Workers have no open files, so nothing of ours keeps an inode alive when its last name goes, while a client may read on
from the file it has open. A worker hands a descriptor to the pool process before it removes a last name. The
pool process holds it until the kernel does not know the inode any more, which it learns by asking: a notification
to drop the attributes of an unknown node is answered with ENOENT. FORGET needs no counting for that, and a lost
one does no harm.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from dataclasses import dataclass

from appliance.fuse import protocol

_NODE = struct.Struct("=Q")
_FIRST_CHECK = 0.05  # seconds; doubled after each check that finds the inode still in use
_LAST_CHECK = 5.0
_NEVER_REMOVED = 30.0  # seconds after which an inode that still has a name was evidently not removed


def hand_over(channel: socket.socket, node: int, descriptor: int) -> None:
    """Give the keeper a descriptor of an inode that is about to lose its last name."""
    socket.send_fds(channel, [_NODE.pack(node)], [descriptor])


@dataclass
class _Kept:
    descriptor: int
    since: float
    interval: float
    due: float


class Keeper:
    """The inodes that are kept, and when to ask about each again. Times are those of time.monotonic."""

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._kept: dict[int, _Kept] = {}
        ours, self.channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._receiver = ours

    def __len__(self) -> int:
        """How many inodes are kept."""
        return len(self._kept)

    def fileno(self) -> int:
        """The descriptor that is readable when workers have handed something over."""
        return self._receiver.fileno()

    def receive(self) -> None:
        """Take what workers have handed over."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._receiver, _NODE.size, 1)
            except BlockingIOError:
                return
            if len(message) != _NODE.size or len(descriptors) != 1:
                for descriptor in descriptors:
                    os.close(descriptor)
                continue
            now = time.monotonic()
            (node,) = _NODE.unpack(message)
            if (earlier := self._kept.pop(node, None)) is not None:
                os.close(earlier.descriptor)
            self._kept[node] = _Kept(descriptors[0], now, _FIRST_CHECK, now + _FIRST_CHECK)

    def next_check(self) -> float | None:
        """When `release` has something to do again; None while nothing is kept."""
        return min((kept.due for kept in self._kept.values()), default=None)

    def release(self) -> bool:
        """Close what the kernel has forgotten. Returns whether there was any."""
        now = time.monotonic()
        released = [node for node, kept in self._kept.items() if kept.due <= now and not self._in_use(node, kept, now)]
        for node in released:
            os.close(self._kept.pop(node).descriptor)
        return bool(released)

    def _in_use(self, node: int, kept: _Kept, now: float) -> bool:
        kept.interval = min(kept.interval * 2, _LAST_CHECK)
        kept.due = now + kept.interval
        if os.stat(kept.descriptor).st_nlink > 0:
            return now - kept.since < _NEVER_REMOVED
        try:
            os.write(self._connection, protocol.invalidate_attributes(node))
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENOTCONN)
        return True
