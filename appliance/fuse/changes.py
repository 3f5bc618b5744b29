"""Operations that must be done once even if their request is served twice (see intents).

All others may be: the kernel holds the inode's lock from a write or a truncation to its answer, so that nothing comes
between the first time and the second, and each names its offset or size.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Protocol, Self

from appliance.fuse.inodes import Entry, Inodes
from appliance.fuse.intents import Change, Intent, Intents
from appliance.fuse.nodes import NodeId
from appliance.linux import files


class Removals(Protocol):
    """Who must know that an inode's last name goes."""

    def last_name_goes(self, node: NodeId, descriptor: int) -> None:
        """Called before the name is removed. The inode may still be open, by whomever."""

    def last_name_gone(self, node: NodeId) -> None:
        """Called after the name is removed: nobody may keep the inode alive for its own convenience."""


class Changes:
    """The changes of one source, under the identity that the caller has assumed already."""

    def __init__(self, inodes: Inodes, intents: Intents, removals: Removals) -> None:
        self._inodes = inodes
        self._intents = intents
        self._removals = removals
        self._caller = 0

    def by(self, caller: int) -> Self:
        """Have what comes next be the wish of this thread."""
        self._caller = caller
        return self

    def _begin(self, change: Change, inode: NodeId, name: bytes, before: int) -> Intent | None:
        return self._intents.begin(Intent(change, inode, name, before, caller=self._caller))

    def mknod(self, directory: NodeId, name: bytes, mode: int, device: int) -> Entry:
        """Make a file, FIFO, socket or device."""
        return self._make(Change.MKNOD, directory, name, lambda at: os.mknod(name, mode, device, dir_fd=at))

    def mkdir(self, directory: NodeId, name: bytes, mode: int) -> Entry:
        """Make a directory."""
        return self._make(Change.MKDIR, directory, name, lambda at: os.mkdir(name, mode, dir_fd=at))

    def symlink(self, directory: NodeId, name: bytes, target: bytes) -> Entry:
        """Make a symbolic link."""
        return self._make(Change.SYMLINK, directory, name, lambda at: os.symlink(target, name, dir_fd=at))

    def create(self, directory: NodeId, name: bytes, mode: int) -> Entry:
        """Make a regular file that is to be opened at once."""
        return self._make(Change.CREATE, directory, name, lambda at: os.mknod(name, mode, dir_fd=at))

    def link(self, node: NodeId, directory: NodeId, name: bytes) -> Entry:
        """Give an inode one more name."""
        made = self._make(Change.LINK, directory, name, lambda at: files.link(self._inodes.path(node), at, name))
        if made.node != node:  # only when the request came twice and another process took the name in between
            raise _error(errno.EEXIST)
        return made

    def _make(self, change: Change, directory: NodeId, name: bytes, make: Callable[[int], None]) -> Entry:
        """Make `name`. That it exists already is no error if this very request has made it."""
        at = self._inodes.directory(directory)
        before = self._node_of(at, name)
        earlier = self._begin(change, directory, name, before)
        if before and (earlier is None or earlier.before):
            raise _error(errno.EEXIST)
        if not before:
            make(at)
        return self._inodes.child_of(at, name)

    def _node_of(self, directory: int, name: bytes) -> int:
        """Return the inode that a name has in the directory of a descriptor, 0 for none."""
        try:
            return self._inodes.name(directory, name)[0]
        except FileNotFoundError:
            return 0

    def unlink(self, directory: NodeId, name: bytes) -> None:
        """Remove a name that is not a directory's."""
        self._remove(Change.UNLINK, directory, name, os.unlink)

    def rmdir(self, directory: NodeId, name: bytes) -> None:
        """Remove an empty directory."""
        self._remove(Change.RMDIR, directory, name, os.rmdir)

    def _remove(self, change: Change, directory: NodeId, name: bytes, remove: Callable[..., None]) -> None:
        victim = self._inodes.find(directory, name)
        earlier = self._begin(change, directory, name, victim.node if victim else 0)
        if earlier and earlier.before and (victim is None or victim.node != earlier.before):
            return self._gone(NodeId(earlier.before))
        if victim is None:
            raise _error(errno.ENOENT)
        last = self._announce_last_name(victim)
        remove(name, dir_fd=self._inodes.path(directory))
        if last:
            self._gone(victim.node)
        return None

    def rename(self, old: NodeId, old_name: bytes, new: NodeId, new_name: bytes, flags: int) -> None:
        """Rename, with renameat2's flags."""
        moved = self._inodes.find(old, old_name)
        victim = self._inodes.find(new, new_name)
        moved_node, victim_node = moved.node if moved else 0, victim.node if victim else 0
        earlier = self._intents.begin(
            Intent(Change.RENAME, old, old_name, moved_node, new, new_name, victim_node, flags, self._caller)
        )
        if earlier and _renamed(earlier, moved_node, victim_node):
            return
        last = victim and moved_node != victim_node and not flags & files.RENAME_EXCHANGE
        if victim and last:
            last = self._announce_last_name(victim)
        files.rename(self._inodes.path(old), old_name, self._inodes.path(new), new_name, flags)
        if victim and last:
            self._gone(victim.node)

    def getxattr(self, node: NodeId, name: bytes) -> bytes:
        """Return an extended attribute's value; none if it was made by this very caller, who has not been told yet.

        pyfuse3 asks for the value before it sets one with XATTR_CREATE. No other thread's question is mistaken for
        that, and the caller itself waits for its answer. (Of knfsd's threads nothing is known, they are all the same
        caller: there somebody else may be told in these milliseconds that the attribute is not there yet.)
        """
        if self._intents.any_left:
            left = self._intents.left(Intent(Change.SETXATTR, node, name, caller=self._caller))
            if left and not left.before:
                raise _error(errno.ENODATA)
        return os.getxattr(self._inodes.attributes_path(node), name)

    def setxattr(self, node: NodeId, name: bytes, value: bytes) -> None:
        """Set an extended attribute. The intent is for `getxattr`: setting it twice does no harm by itself."""
        self._begin(Change.SETXATTR, node, name, self._has_xattr(node, name))
        os.setxattr(self._inodes.attributes_path(node), name, value)

    def removexattr(self, node: NodeId, name: bytes) -> None:
        """Remove an extended attribute."""
        before = self._has_xattr(node, name)
        earlier = self._begin(Change.REMOVEXATTR, node, name, before)
        if not (earlier and earlier.before and not before):
            os.removexattr(self._inodes.attributes_path(node), name)

    def _has_xattr(self, node: NodeId, name: bytes) -> int:
        try:
            os.getxattr(self._inodes.attributes_path(node), name)
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
                return 0
            raise
        return 1

    def _announce_last_name(self, victim: Entry) -> bool:
        """Before a removal: tell if this is the inode's last name, and have it kept for those who have it open."""
        is_directory = stat.S_ISDIR(victim.attributes.st_mode)
        if victim.attributes.st_nlink > 1 and not is_directory:
            return False
        self._removals.last_name_goes(victim.node, self._inodes.path(victim.node))
        return True

    def _gone(self, node: NodeId) -> None:
        self._inodes.cache.drop(node)
        self._removals.last_name_gone(node)


def _renamed(earlier: Intent, moved: int, victim: int) -> bool:
    """Tell from what the two names are now whether the rename of a dead worker had been done."""
    if earlier.flags & files.RENAME_EXCHANGE:
        return (moved, victim) == (earlier.new_before, earlier.before)
    return moved != earlier.before and victim == earlier.before


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
