"""From what happened to the source to what the kernel has to forget of the share.

Only notifications that take no lock are sent. To invalidate a single name (FUSE_NOTIFY_INVAL_ENTRY), or pages, waits in
the kernel for the directory's or the page's lock. A request that is not answered yet may hold that, and nothing
interrupts the wait. Whoever waits there has the connection open, so that the end of everybody else would not end it: a
container that is killed at that moment could not end either. So names are not invalidated one by one. Pages go when the
new attributes show that the file was changed (FUSE_AUTO_INVAL_DATA).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from appliance.fuse import protocol
from appliance.fuse.nodes import ROOT, NodeId
from appliance.linux.fanotify import Change
from appliance.linux.handles import NativeHandle

_ENDED = (errno.ENODEV, errno.ENOTCONN)


def can_expire_names(connection: int) -> bool:
    """Find out whether the kernel can be told that names have changed, by telling it."""
    try:
        os.write(connection, protocol.expire_names())
    except OSError:
        return False
    return True


class Invalidations:
    """Tells one connection what it has to forget."""

    def __init__(
        self, connection: int, root: NativeHandle, find: Callable[[NativeHandle], NodeId | None], *, names_expire: bool
    ) -> None:
        """`find` tells the node id of what `root`, the handle of the source, is not."""
        self._connection = connection
        self._root = root
        self._find = find
        self._names_expire = names_expire

    def send(self, changes: Sequence[Change]) -> bool:
        """Have the kernel forget what these changes have made untrue; False if the connection has ended."""
        # Names first: whoever sees that a directory has changed must not find its old names.
        alive = True
        if self._names_expire and any(change.names or change.lost for change in changes):
            alive = self._write(protocol.expire_names())
        for handle in {handle for change in changes for handle in change.inodes}:
            node = ROOT if handle == self._root else self._find(handle)
            if node is not None:
                alive = self._write(protocol.invalidate_attributes(node)) and alive
        return alive

    def _write(self, message: bytes) -> bool:
        try:
            os.write(self._connection, message)
        except OSError as error:  # ENOENT: the kernel does not know it, and has nothing to forget
            return error.errno not in _ENDED
        return True
