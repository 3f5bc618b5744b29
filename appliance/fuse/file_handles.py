"""File handles (`fh`): what an open file is called between the kernel and the workers, in one of two ways.

Open files are counted (see open_files), whoever reads and writes; where the kernel does, the answer to OPEN tells it
what. Without our extension of pyfuse3 nobody knows which answers were sent before a worker died. So nothing is counted
there: the handle is the node id, and there is nothing to remember.
"""

from __future__ import annotations

import os
from typing import Protocol

import pyfuse3

from appliance.fuse.inodes import Inodes
from appliance.fuse.nodes import NodeId, Stale
from appliance.fuse.open_files import OpenFiles
from appliance.fuse.passthrough import is_setid, nearly_full, open_reply_type
from appliance.fuse.scoreboard import Slot, Word
from appliance.linux.process import FileIdentity

NOBODY = 65534


class FileHandles(Protocol):
    """One of the two ways."""

    def open(self, node: NodeId, flags: int) -> pyfuse3.FileInfo:
        """Return the answer to an OPEN of a regular file that the worker could open itself. Raises OSError."""
        ...

    def node(self, handle: int) -> NodeId:
        """Return the inode of an open file. Raises ESTALE if there is no such file."""
        ...

    def close(self, handle: int) -> None:
        """The kernel is done with an open file. Told twice, it is done once."""
        ...


class NodeHandles:
    """Nothing is counted, and a worker reads and writes; the handle is the node id."""

    def open(self, node: NodeId, flags: int) -> pyfuse3.FileInfo:  # noqa: ARG002
        """Return the answer to an OPEN."""
        return pyfuse3.FileInfo(fh=node, keep_cache=False)

    def node(self, handle: int) -> NodeId:
        """Return the inode."""
        return NodeId(handle)

    def close(self, handle: int) -> None:
        """Nothing was remembered at open."""


class RegisteredHandles:
    """The handle is a row of the registry of open files, which the kernel may read and write itself."""

    def __init__(
        self, files: OpenFiles, slot: Slot, inodes: Inodes, identity: FileIdentity, *, passthrough: bool
    ) -> None:
        self._files = files
        self._passthrough = passthrough
        self._slot = slot
        self._inodes = inodes
        self._identity = identity
        self._answer = open_reply_type()

    def open(self, node: NodeId, flags: int) -> pyfuse3.FileInfo:
        """Return the answer to an OPEN, which names the file's backing id, if there is one."""
        descriptor = self._for_kernel(node, flags) if self._passthrough else None
        handle, backing_id = self._files.open(node, self._slot, descriptor)
        reply: pyfuse3.FileInfo = self._answer(handle, backing_id, self._about_to_answer)
        return reply

    def _for_kernel(self, node: NodeId, flags: int) -> int | None:
        """Return what the kernel is to read and write, which it opens anew with the caller's flags; None: a worker."""
        descriptor = self._inodes.reading(node)
        if flags & os.O_ACCMODE != os.O_RDONLY and (nearly_full(descriptor) or is_setid(descriptor)):
            return None
        # The kernel writes as whoever makes the id. Not as root: the blocks reserved for root stay reserved.
        self._identity.assume(NOBODY, NOBODY, 0)
        return descriptor

    def _about_to_answer(self, unique: int) -> None:
        self._slot.words[Word.ANSWERED] = unique

    def node(self, handle: int) -> NodeId:
        """Return the inode of an open file. Raises ESTALE if there is no such file."""
        node = self._files.node(handle)
        if node is None:
            raise Stale
        return node

    def close(self, handle: int) -> None:
        """Take the file out of the registry, and with the last one of an inode let go of its backing id."""
        self._files.close(handle, self._slot)
