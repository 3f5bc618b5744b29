"""The one boundary between pyfuse3 and the operations: what goes on the scoreboard, and which errors may leave.

Only FUSEError may leave a handler: any other exception would end pyfuse3's loop and with it the worker. So an
OSError becomes FUSEError with the same number, and anything else, which is a bug of ours, becomes EIO and a traceback.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pyfuse3

from appliance.fuse.scoreboard import Scoreboard, Slot, Word

log = logging.getLogger(__name__)

_PREFIX = "op_"

# The number of each operation on the scoreboard is its index here.
OPERATIONS = (
    *("lookup", "getattr", "setattr", "readlink", "mknod", "mkdir", "symlink", "link", "unlink", "rmdir", "rename"),
    *("create", "open", "read", "write", "flush", "release", "fsync", "opendir", "readdir", "releasedir", "fsyncdir"),
    *("statfs", "setxattr", "getxattr", "listxattr", "removexattr", "access"),
)


class Boundary(pyfuse3.Operations):
    """Turns each plain method `op_VERB` of a subclass into the coroutine VERB that pyfuse3 calls."""

    _board: Scoreboard
    _slot: Slot
    before_request: Callable[[], None]

    def __init_subclass__(cls) -> None:
        for number, verb in enumerate(OPERATIONS):
            setattr(cls, verb, _guard(number, verb, getattr(cls, _PREFIX + verb)))

    def attach(self, board: Scoreboard, slot: Slot, before_request: Callable[[], None]) -> None:
        """Say where to record what is going on, and what to do before each request."""
        self._board = board
        self._slot = slot
        self.before_request = before_request

    async def forget(self, inode_list: object) -> None:
        """Nothing is remembered of an inode, so there is nothing to forget."""

    def begin(self, operation: int, node: int) -> None:
        """Record that a request is being served, unless the share is being drained."""
        words = self._slot.words
        words[Word.OPERATION] = operation
        words[Word.NODE] = node
        words[Word.REQUESTS] += 1
        words[Word.BUSY] = 1
        if self._board.draining:
            # Nothing of this request has been done yet, so whoever comes next may have it.
            os._exit(0)
        self.before_request()


def _guard(number: int, verb: str, operation: Callable[..., Any]) -> Callable[..., Coroutine[None, None, Any]]:
    async def handler(self: Boundary, *arguments: Any) -> Any:
        self.begin(number, arguments[0] if isinstance(arguments[0], int) else 0)
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
