"""Attributes of inodes: from the source filesystem to FUSE, and changes the other way."""

from __future__ import annotations

import os
import stat

import pyfuse3

from appliance.fuse.caching import Validity
from appliance.fuse.inodes import Entry, Inodes
from appliance.fuse.nodes import NodeId
from appliance.linux import files

ACCESS_ACL = b"system.posix_acl_access"


def to_fuse(entry: Entry, validity: Validity) -> pyfuse3.EntryAttributes:
    """Return `entry` in the form of pyfuse3."""
    result = pyfuse3.EntryAttributes()
    source = entry.attributes
    # Node id and visible inode number in one: knfsd finds a directory's name by looking for it in the parent.
    result.st_ino = entry.node
    result.generation = entry.generation
    result.entry_timeout = validity.entry
    result.attr_timeout = validity.attributes
    result.st_mode = source.st_mode
    result.st_nlink = source.st_nlink
    result.st_uid = source.st_uid
    result.st_gid = source.st_gid
    result.st_rdev = source.st_rdev
    result.st_size = source.st_size
    result.st_blksize = source.st_blksize
    result.st_blocks = source.st_blocks
    result.st_atime_ns = source.st_atime_ns
    result.st_mtime_ns = source.st_mtime_ns
    result.st_ctime_ns = source.st_ctime_ns
    return result


def nothing() -> pyfuse3.EntryAttributes:
    """Return what a listing tells of a name if nothing is to be told: whoever asks for it has to look it up."""
    result = pyfuse3.EntryAttributes()
    result.st_ino = 0  # "the userspace filesystem did not want to return attributes" (fuse_direntplus_link())
    return result


def absent(validity: Validity) -> pyfuse3.EntryAttributes:
    """Return the answer that there is no such name, which the kernel may remember."""
    result = nothing()  # in a look-up it is "same as -ENOENT, but with valid timeout" (fuse_lookup_name())
    result.entry_timeout = validity.negative
    return result


def set_attributes(
    inodes: Inodes,
    node: NodeId,
    wanted: pyfuse3.EntryAttributes,
    fields: pyfuse3.SetattrFields,
    caller: pyfuse3.RequestContext,
) -> None:
    """Apply the fields that are marked, in the order in which one does not undo another.

    Owner before mode, since chown(2) clears setuid and setgid; size before times, since truncation sets them.
    """
    descriptor = inodes.path(node)
    if not _any(fields) or (fields.update_size and caller.uid != 0):
        clear_privileges(descriptor)
    if fields.update_uid or fields.update_gid:
        files.chown(
            descriptor,
            wanted.st_uid if fields.update_uid else None,
            wanted.st_gid if fields.update_gid else None,
        )
    if fields.update_mode:
        files.chmod(descriptor, wanted.st_mode & 0o7777)
    if fields.update_size:
        os.ftruncate(inodes.writing(node), wanted.st_size)
    if fields.update_atime or fields.update_mtime:
        files.set_times(
            descriptor,
            wanted.st_atime_ns if fields.update_atime else None,
            wanted.st_mtime_ns if fields.update_mtime else None,
        )


def _any(fields: pyfuse3.SetattrFields) -> bool:
    return (
        fields.update_mode
        or fields.update_size
        or fields.update_uid
        or fields.update_gid
        or fields.update_atime
        or fields.update_mtime
        or fields.update_ctime
    )


def clear_privileges(descriptor: int) -> None:
    """Clear setuid, and setgid where the group may execute: somebody without CAP_FSETID is about to change the content.

    That is a daemon's business under FUSE_HANDLE_KILLPRIV_V2. Before a write the kernel says so by a SETATTR of
    nothing (file_remove_privs() asks for less than fuse_setattr() leaves in it). For a truncation it has a flag that
    pyfuse3 does not pass on; who is not root has no CAP_FSETID, and of knfsd's callers root always has it. At a change
    of owner the source's own kernel does it, and file capabilities the mount's kernel removes itself.
    """
    mode = os.stat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        return
    kept = mode & ~stat.S_ISUID
    if mode & stat.S_IXGRP:
        kept &= ~stat.S_ISGID
    if kept != mode:
        files.chmod(descriptor, stat.S_IMODE(kept))


def clear_foreign_setgid(descriptor: int, caller: pyfuse3.RequestContext) -> None:
    """After an access ACL was set: clear setgid if the file's group is not one of the caller's.

    The source filesystem does so for whoever lacks CAP_FSETID, but it sees our rights, and the kernel tells only
    daemons with FUSE_SETXATTR_EXT, which libfuse has not, whether the caller has it.
    """
    now = os.stat(descriptor)
    if caller.uid == 0 or not now.st_mode & stat.S_ISGID or now.st_gid == caller.gid:
        return
    # knfsd's threads have no pid here: of an NFS client's user only the primary group is known.
    if caller.pid == 0 or now.st_gid not in pyfuse3.get_sup_groups(caller.pid):
        files.chmod(descriptor, stat.S_IMODE(now.st_mode) & ~stat.S_ISGID)
