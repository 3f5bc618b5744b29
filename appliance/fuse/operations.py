"""The FUSE operations: what pyfuse3 calls, one verb each, in terms of the source's inodes.

Any worker can serve any request: what a file handle (`fh`) is depends on who reads and writes, see file_handles.
The kernel has checked permissions before it asks (default_permissions), so files are opened with our own rights.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

import pyfuse3

from appliance.fuse import attributes, testimony
from appliance.fuse.boundary import Boundary
from appliance.fuse.caching import Validity
from appliance.fuse.changes import Changes
from appliance.fuse.directories import read_directory
from appliance.fuse.durability import Durability
from appliance.fuse.file_handles import NOBODY, FileHandles
from appliance.fuse.inodes import Entry, Inodes
from appliance.fuse.losses import Losses
from appliance.fuse.nodes import NodeId
from appliance.linux.process import FileIdentity


class Operations(Boundary):
    """The operations on one source. Plain functions: Boundary makes them what pyfuse3 wants."""

    enable_acl = True
    supports_dot_lookup = True

    def __init__(
        self,
        source: int,
        inodes: Inodes,
        changes: Changes,
        durability: Durability,
        losses: Losses,
        validity: Validity,
        identity: FileIdentity,
        files: FileHandles,
    ) -> None:
        super().__init__()
        self._source = source
        self._inodes = inodes
        self._changes = changes
        self._durability = durability
        self._losses = losses
        self._validity = validity
        self._identity = identity
        self._files = files

    def opened_node(self, handle: int) -> NodeId:
        """Return the inode of an open file."""
        return self._files.node(handle)

    def _reply(self, entry: Entry) -> pyfuse3.EntryAttributes:
        return attributes.to_fuse(entry, self._validity)

    def _made(self, directory: NodeId, entry: Entry) -> pyfuse3.EntryAttributes:
        """Reply with a name that is new in a directory."""
        self._durability.names(directory)
        return self._reply(entry)

    def _assume(self, caller: pyfuse3.RequestContext) -> None:
        """Make files as the caller would: owner, group and umask, with setgid directories and default ACLs."""
        self._identity.assume(caller.uid, caller.gid, caller.umask)

    # Names

    def op_lookup(self, parent: NodeId, name: bytes, _caller: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Find a name; "." and ".." work on any node, since the kernel asks for them with nothing but a handle."""
        if name == b".":
            return self._reply(self._inodes.itself(parent))
        if name == b"..":
            return self._reply(self._inodes.parent(parent))
        try:
            return self._reply(self._inodes.child(parent, name))
        except FileNotFoundError:
            if not self._validity.negative:
                raise
            return attributes.absent(self._validity)

    def op_mknod(
        self, parent: NodeId, name: bytes, mode: int, rdev: int, caller: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a file of any type but directory and symbolic link: knfsd makes regular files with it."""
        self._assume(caller)
        return self._made(parent, self._changes.by(caller.pid).mknod(parent, name, mode, rdev))

    def op_mkdir(
        self, parent: NodeId, name: bytes, mode: int, caller: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        self._assume(caller)
        return self._made(parent, self._changes.by(caller.pid).mkdir(parent, name, stat.S_IMODE(mode)))

    def op_symlink(
        self, parent: NodeId, name: bytes, target: bytes, caller: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a symbolic link; workers never follow one."""
        self._assume(caller)
        return self._made(parent, self._changes.by(caller.pid).symlink(parent, name, target))

    def op_link(
        self, node: NodeId, parent: NodeId, name: bytes, caller: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Give an inode one more name."""
        return self._made(parent, self._changes.by(caller.pid).link(node, parent, name))

    def op_unlink(self, parent: NodeId, name: bytes, caller: pyfuse3.RequestContext) -> None:
        """Remove a name."""
        self._changes.by(caller.pid).unlink(parent, name)
        self._durability.names(parent)

    def op_rmdir(self, parent: NodeId, name: bytes, caller: pyfuse3.RequestContext) -> None:
        """Remove a directory."""
        self._changes.by(caller.pid).rmdir(parent, name)
        self._durability.names(parent)

    def op_rename(
        self, old: NodeId, old_name: bytes, new: NodeId, new_name: bytes, flags: int, caller: pyfuse3.RequestContext
    ) -> None:
        """Rename, also with RENAME_NOREPLACE and RENAME_EXCHANGE."""
        self._changes.by(caller.pid).rename(old, old_name, new, new_name, flags)
        self._durability.names(new, old)

    def op_readlink(self, node: NodeId, _caller: pyfuse3.RequestContext) -> bytes:
        """Return the target of a symbolic link."""
        return os.readlink(b"", dir_fd=self._inodes.path(node))

    # Attributes

    def op_getattr(self, node: NodeId, _caller: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return the attributes of an inode."""
        return self._reply(Entry(node, 0, self._inodes.attributes(node)))

    def op_setattr(
        self,
        node: NodeId,
        wanted: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        _fh: NodeId | None,
        caller: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change mode, owner, size and times. The open file that a truncation may come with makes no difference."""
        self._inodes.attributes(node)  # only so that a directory that left the share is not changed
        attributes.set_attributes(self._inodes, node, wanted, fields, caller)
        changed = self._inodes.attributes(node)
        self._durability.attributes(node, changed.st_mode)
        return self._reply(Entry(node, 0, changed))

    def op_access(self, _node: NodeId, _mode: int, _caller: pyfuse3.RequestContext) -> bool:
        """Never asked under default_permissions."""
        return True

    def op_statfs(self, _caller: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Return the capacity of the source filesystem, in its own block size."""
        source = os.statvfs(self._source)
        result = pyfuse3.StatvfsData()
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(result, f"f_{field}", getattr(source, f"f_{field}"))
        return result

    def op_getxattr(self, node: NodeId, name: bytes, caller: pyfuse3.RequestContext) -> bytes:
        """Return an extended attribute's value."""
        if name == testimony.ATTRIBUTE:
            self._inodes.attributes(node)
            return testimony.testify(self._inodes.path(node))
        return self._changes.by(caller.pid).getxattr(node, name)

    def op_setxattr(self, node: NodeId, name: bytes, value: bytes, caller: pyfuse3.RequestContext) -> None:
        """Set an extended attribute; pyfuse3 has seen to XATTR_CREATE and XATTR_REPLACE."""
        self._changes.by(caller.pid).setxattr(node, name, value)
        if name == attributes.ACCESS_ACL:
            attributes.clear_foreign_setgid(self._inodes.path(node), caller)
        self._durability.attributes(node, os.stat(self._inodes.path(node)).st_mode)

    def op_listxattr(self, node: NodeId, _caller: pyfuse3.RequestContext) -> Sequence[bytes]:
        """Return the names of an inode's extended attributes."""
        return [os.fsencode(name) for name in os.listxattr(self._inodes.attributes_path(node))]

    def op_removexattr(self, node: NodeId, name: bytes, caller: pyfuse3.RequestContext) -> None:
        """Remove an extended attribute."""
        self._changes.by(caller.pid).removexattr(node, name)
        self._durability.attributes(node, os.stat(self._inodes.path(node)).st_mode)

    # Files

    def op_open(self, node: NodeId, flags: int, _caller: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Prove that the file can be opened in this way. O_APPEND and the rest is the kernel's business."""
        writable = flags & os.O_ACCMODE != os.O_RDONLY
        descriptor = self._inodes.writing(node) if writable else self._inodes.reading(node)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
        return self._files.open(node, flags)

    def op_create(
        self, parent: NodeId, name: bytes, mode: int, flags: int, caller: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make a file and open it. Without O_EXCL a file that came into being meanwhile is as good."""
        self._assume(caller)
        try:
            entry = self._changes.by(caller.pid).create(parent, name, mode)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            entry = self._inodes.child(parent, name)
        reply = self._made(parent, entry)
        return self.op_open(entry.node, flags, caller), reply  # what is open must be told, so nothing comes after

    def op_read(self, fh: int, offset: int, size: int) -> bytes:
        """Read up to `size` bytes, fewer only at the end of the file."""
        return os.pread(self._inodes.reading(self._files.node(fh)), size, offset)

    def op_write(self, fh: int, offset: int, data: bytes) -> int:
        """Write, and return how many bytes were taken. Not as root: the blocks reserved for root stay reserved."""
        self._identity.assume(NOBODY, NOBODY, 0)
        return os.pwrite(self._inodes.writing(self._files.node(fh)), data, offset)

    def op_flush(self, _fh: int) -> None:
        """There is nothing to do at close(2); after this answer the kernel asks no more.

        It also keeps knfsd's shutdown, which closes files, from waiting for workers that are gone already.
        """
        raise pyfuse3.FUSEError(errno.ENOSYS)

    def op_release(self, fh: int) -> None:
        """The last user of an open file has closed it."""
        self._files.close(fh)

    def op_fsync(self, fh: int, datasync: bool) -> None:
        """Write an inode's data to storage, through whichever descriptor."""
        node = self._files.node(fh)
        self._losses.for_its_data(node, self._inodes.reading(node), datasync=datasync)

    # Directories

    def op_opendir(self, node: NodeId, _caller: pyfuse3.RequestContext) -> NodeId:
        """Nothing needs to be remembered."""
        return node

    def op_readdir(self, fh: NodeId, offset: int, token: pyfuse3.ReaddirToken) -> None:
        """List a directory from `offset` for as long as the reply has room."""
        with self._inodes.batch():
            for name, entry, next_offset in read_directory(self._inodes, fh, offset):
                reply = self._reply(entry) if entry else attributes.nothing()
                if not pyfuse3.readdir_reply(token, name, reply, next_offset):
                    break

    def op_releasedir(self, _fh: NodeId) -> None:
        """Nothing was remembered at opendir."""

    def op_fsyncdir(self, fh: NodeId, _datasync: bool) -> None:
        """Write a directory to storage."""
        os.fsync(self._inodes.reading(fh))
