"""Whoever has started a pool process, as the pool process sees him: what he is told, and what he orders.

He may be far behind, stopped or gone. Nothing that he is to know is dropped for that, and nobody waits for him.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections import deque
from collections.abc import Iterator

from appliance.fuse import pool_events
from appliance.fuse.pool_config import MAX_ORDER, MAX_ORDER_DESCRIPTORS

STOP = b"stop"


class Owner:
    """His end of the control socket is the other one."""

    def __init__(self, control: int, selector: selectors.BaseSelector) -> None:
        """Begin to listen; the selector has this object ready when `orders` and `tell_rest` are to be called."""
        self._control = socket.socket(fileno=control)
        self._control.setblocking(False)
        self._selector = selector
        self._untold: deque[bytes] = deque()
        selector.register(self, selectors.EVENT_READ)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._control.fileno()

    def abandon(self) -> None:
        """Close the socket, without a word: for a forked child."""
        self._control.close()

    def orders(self) -> Iterator[tuple[bytes, list[int]]]:
        """Give what he has ordered by now, each with its descriptors; STOP if he is gone, and nothing after that."""
        while True:
            try:
                order, descriptors, _, _ = socket.recv_fds(self._control, MAX_ORDER, MAX_ORDER_DESCRIPTORS)
            except BlockingIOError:
                return
            except ConnectionResetError:
                order, descriptors = b"", []  # its end, with something left that it had not read
            yield order or STOP, descriptors
            if order in (b"", STOP):
                return

    def tell(self, event: pool_events.PoolEvent) -> None:
        """Tell him, as soon as there is room."""
        self._untold.append(pool_events.encode(event))
        self.tell_rest()

    def tell_rest(self) -> None:
        """Tell what there is to tell, in order, as far as there is room; the selector says when there is more."""
        with contextlib.suppress(BlockingIOError):
            while self._untold:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody is there any more
                    self._control.send(self._untold[0])
                self._untold.popleft()
        awaited = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._untold else 0)
        self._selector.modify(self, awaited)

    def give(self, node: int, descriptor: int) -> bool:
        """Give him a descriptor of an unlinked inode to keep. Returns False if he has no room for it now."""
        self.tell_rest()
        if self._untold:
            return False
        try:
            socket.send_fds(self._control, [pool_events.encode(pool_events.InodeKept(node))], [descriptor])
        except (BrokenPipeError, ConnectionResetError):
            return True  # there is nobody to keep it
        except OSError:
            return False  # no room, or too many descriptors on their way (ETOOMANYREFS)
        return True
