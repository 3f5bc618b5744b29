"""Data that storage did not take: whoever asks for them to be stored is told so, whatever was told to others before.

The kernel writes data back by itself, and tells of a failure at the next fsync(2) by a descriptor that was open then,
once (errseq, "Reporting errors" in Documentation/filesystems/vfs.rst); who opens the file after that hears nothing.
Here somebody else may have had that fsync: the one by which a change of attributes is made to last (see durability),
or one for a worker that was killed before it replied. The client whose data they were would be told that they are
stored, and would throw away its own copy. So what such an fsync has said is kept until an FSYNC has passed it on.
"""

from __future__ import annotations

import errno
import os
import stat

from appliance.fuse.intents import Change, Intent, Intents
from appliance.fuse.nodes import NodeId
from appliance.fuse.scoreboard import Scoreboard, Slot


class Losses:
    """What one worker has been told of lost data, and what others have left to be told."""

    def __init__(self, board: Scoreboard, slot: Slot, intents: Intents) -> None:
        self._board = board
        self._slot = slot
        self._intents = intents

    def in_passing(self, node: NodeId, descriptor: int) -> None:
        """Write an inode out for the sake of its attributes, or a directory. Raises OSError."""
        try:
            os.fsync(descriptor)
        except OSError:
            if stat.S_ISREG(os.stat(descriptor).st_mode):
                self._slot.note_lost(node)
            raise

    def for_its_data(self, node: NodeId, descriptor: int, *, datasync: bool) -> None:
        """Serve an FSYNC. The kernel holds the inode's lock from sending one to its answer. Raises OSError."""
        asked = Intent(Change.FSYNC, node, b"")
        try:
            if self._intents.any_left and (earlier := self._intents.left(asked)):
                raise OSError(earlier.before, os.strerror(earlier.before))
            (os.fdatasync if datasync else os.fsync)(descriptor)
            if self._board.lost(node):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        except OSError as error:
            self._intents.begin(asked._replace(before=error.errno or errno.EIO))
            self._board.forget_lost(node)
            raise
