"""Changes of names and attributes that last once they are answered, whatever becomes of the server's power.

An NFS server promises that: what a client was told is done is on storage. knfsd keeps the promise by writing the inode
out (`commit_metadata`), which never reaches a FUSE daemon, since the kernel has nothing to write of a FUSE inode.
Without this a name, and with it the file behind a handle that a client holds, could be gone after a power cut. Data are
another matter: their COMMIT, and writes that are to be stable at once, arrive as fsync.
"""

from __future__ import annotations

import errno
import os
import stat

from appliance.fuse.inodes import Inodes
from appliance.fuse.losses import Losses
from appliance.fuse.nodes import NodeId


class Durability:
    """Writes out what was changed, or, if a share is not to be `durable`, leaves that to the filesystem's own pace.

    The methods are called after a change and before its answer, also when the change turns out to have been made by
    a worker that died before it answered. They raise EIO if storage does not take it.
    """

    def __init__(self, inodes: Inodes, losses: Losses, *, durable: bool) -> None:
        self._inodes = inodes
        self._losses = losses
        self._durable = durable

    def names(self, *directories: NodeId) -> None:
        """Write out directories whose names have changed, and with them the inodes that were made or lost by it.

        A journal writes what belongs to one operation as one, so the new inode need not be named: it could not be
        opened anyway if it is a symbolic link or a device.
        """
        if self._durable:
            for directory in dict.fromkeys(directories):
                self._write_out(directory)

    def attributes(self, node: NodeId, mode: int) -> None:
        """Write out an inode, which has this mode, whose attributes have changed.

        Those of symbolic links, devices, sockets and FIFOs wait for the filesystem's pace: they cannot be opened
        without side effects, and neither handles nor contents depend on them.
        """
        if self._durable and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            self._write_out(node)

    def _write_out(self, node: NodeId) -> None:
        try:
            self._losses.in_passing(node, self._inodes.reading(node))
        except OSError as error:
            # Removed meanwhile by a local process: there is nothing left to be kept.
            if error.errno != errno.ESTALE:
                # Not as it is: ENOSPC would have the whole operation, which has been done, tried again.
                raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
