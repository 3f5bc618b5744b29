"""The one boundary between pyfuse3 and the operations: what goes on the scoreboard, and which errors may leave.

Only FUSEError may leave a handler: any other exception would end pyfuse3's loop and with it the worker. So an
OSError becomes FUSEError with the same number, and anything else, which is a bug of ours, becomes EIO and a traceback.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pyfuse3

from appliance.fuse.recovery import OPERATIONS
from appliance.fuse.scoreboard import Busy, Scoreboard, Slot, Word

log = logging.getLogger(__name__)

_PREFIX = "op_"


class Boundary(pyfuse3.Operations):
    """Turns each plain method `op_VERB` of a subclass into the coroutine VERB that pyfuse3 calls."""

    _board: Scoreboard
    _slot: Slot
    before_request: Callable[[], None]
    wait_for_drain: Callable[[], None]

    def __init_subclass__(cls) -> None:
        for number, verb in enumerate(OPERATIONS):
            setattr(cls, verb, _guard(number, verb, getattr(cls, _PREFIX + verb)))

    def attach(
        self, board: Scoreboard, slot: Slot, before_request: Callable[[], None], wait_for_drain: Callable[[], None]
    ) -> None:
        """Say where to record what is going on, what to do before each request, and how to wait for a drain's end."""
        self._board = board
        self._slot = slot
        self.before_request = before_request
        self.wait_for_drain = wait_for_drain

    async def forget(self, inode_list: object) -> None:
        """Nothing is remembered of an inode, so there is nothing to forget."""

    def begin(self, operation: int, node: int) -> None:
        """Record that a request is being served, unless the share is being drained."""
        words = self._slot.words
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
    which = 1 if verb == "link" else 0  # the directory that is changed, as in the other requests

    async def handler(self: Boundary, *arguments: Any) -> Any:
        node = arguments[which]
        self.begin(number, node if isinstance(node, int) else 0)
        try:
            return operation(self, *arguments)
        except pyfuse3.FUSEError:
            raise
        except OSError as error:
            self._slot.words[Word.ERRORS] += 1
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None
        except Exception:
            self._slot.words[Word.ERRORS] += 1
            log.exception("%s failed unexpectedly; the caller gets EIO", verb)
            raise pyfuse3.FUSEError(errno.EIO) from None

    handler.__name__ = verb
    handler.__doc__ = operation.__doc__
    return handler
