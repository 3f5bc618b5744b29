"""The one boundary between pyfuse3 and the operations: what goes on the scoreboard, and which errors may leave.

Only FUSEError may leave a handler: any other exception would end pyfuse3's loop and with it the worker. So an
OSError becomes FUSEError with the same number, and anything else, which is a bug of ours, becomes EIO and a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pyfuse3

from appliance.fuse.meter import now
from appliance.fuse.operation_numbers import OPERATIONS
from appliance.fuse.scoreboard import Busy, Scoreboard, Slot, Word

log = logging.getLogger(__name__)

_PREFIX = "op_"
_BY_HANDLE = ("read", "write", "flush", "release", "fsync")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TOLD_ONCE = ("fsync",)  # done again it would succeed: what it failed at is past


class Boundary(pyfuse3.Operations):
    """Turns each plain method `op_VERB` of a subclass into the coroutine VERB that pyfuse3 calls."""

    _board: Scoreboard
    _slot: Slot
    _words: memoryview
    before_request: Callable[[], None]
    wait_for_drain: Callable[[], None]
    wait_for_room: Callable[[float], bool]

    def __init_subclass__(cls) -> None:
        for number, verb in enumerate(OPERATIONS):
            setattr(cls, verb, _guard(number, verb, getattr(cls, _PREFIX + verb)))

    def attach(
        self,
        board: Scoreboard,
        slot: Slot,
        before_request: Callable[[], None],
        wait_for_drain: Callable[[], None],
        wait_for_room: Callable[[float], bool],
    ) -> None:
        """Say where to record what is going on, and what to do before each request.

        `wait_for_drain` returns when a drain has come to nothing, `wait_for_room` when removed files may
        be gone. It is given the time (time.monotonic) since which there is no room for this request, and is False if
        nothing was removed lately, or if that is too long ago.
        """
        self._board = board
        self._slot = slot
        self._words = slot.words
        self.before_request = before_request
        self.wait_for_drain = wait_for_drain
        self.wait_for_room = wait_for_room

    def opened_node(self, handle: int) -> int:
        """Return the node id of an open file. Raises OSError if it is not open."""
        raise NotImplementedError

    async def forget(self, inode_list: object) -> None:
        """Nothing is remembered of an inode, so there is nothing to forget."""

    def begin(self, operation: int, node: int) -> None:
        """Record that a request is being served, unless the share is being drained."""
        words = self._words
        words[Word.OPERATION] = operation
        words[Word.NODE] = node
        words[Word.REQUESTS] += 1
        words[Word.BUSY] = Busy.REQUEST
        while self._board.draining:
            # Nothing of this request has been done yet. It is somebody else's if this process is killed now, and
            # its own if the drain comes to nothing.
            words[Word.BUSY] = Busy.IDLE
            self.wait_for_drain()
            words[Word.BUSY] = Busy.REQUEST
        self.before_request()


def _guard(number: int, verb: str, operation: Callable[..., Any]) -> Callable[..., Coroutine[None, None, Any]]:
    by_handle = verb in _BY_HANDLE
    passing = () if verb in _TOLD_ONCE else _FULL  # what may be over in a moment
    which = 1 if verb == "link" else 0  # the directory that is changed, as in the other requests

    async def handler(self: Boundary, *arguments: Any) -> Any:
        node = arguments[which]
        if by_handle:
            with contextlib.suppress(OSError):  # the operation says what becomes of that
                node = self.opened_node(node)
        self.begin(number, node if isinstance(node, int) else 0)
        meter, began, full_since = self._slot.meter, now(), 0.0
        try:
            while True:
                try:
                    return operation(self, *arguments)
                except OSError as error:
                    full_since = full_since or time.monotonic()
                    if error.errno not in passing or not self.wait_for_room(full_since):
                        raise
        except pyfuse3.FUSEError:
            raise
        except OSError as error:
            self._slot.words[Word.ERRORS] += 1
            meter.failed(number)
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None
        except Exception:
            self._slot.words[Word.ERRORS] += 1
            meter.failed(number)
            log.exception("%s failed unexpectedly; the caller gets EIO", verb)
            raise pyfuse3.FUSEError(errno.EIO) from None
        finally:
            meter.took(number, now() - began)

    handler.__name__ = verb
    handler.__doc__ = operation.__doc__
    return handler
