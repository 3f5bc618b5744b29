"""A share as a client sees it: through an NFS mount of its own, made inside the appliance.

Only a process in a mount namespace of its own may do this: the mount ends with it, and nobody else can be held up by
it. It is soft, so that a server that ends answers with an error instead of never.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from appliance.checks import fileid, forms
from appliance.checks.evidence import STALE, Answer, Evidence, Name, Opened, Refused
from appliance.checks.samples import Sample
from appliance.checks.view import View, errno_name, opened_mount
from appliance.errors import KernelError, MountError
from appliance.fuse.nodes import ROOT, NodeId
from appliance.linux import handles, mounts
from appliance.linux.handles import NativeHandle
from appliance.linux.statx import statx

_ADDRESS = "127.0.0.1"
# timeo is in tenths of a second. softerr: ETIMEDOUT instead of EIO. noac: what the server says now.
_OPTIONS = "vers=4.2,addr={address},clientaddr={address},port={port},softerr,timeo=50,retrans=1,noac,nosharecache"


@dataclass(frozen=True)
class NfsView:
    """The same questions as View's; the handles travel as NFS file handles."""

    local: View
    nfs: int
    """The NFS mount's root."""
    fsid: UUID

    def evidence(self, sample: Sample) -> Evidence:
        """Gather what the verdict takes: what opens, what is behind, which handle a client gets."""
        native = self.local.behind(sample.native)
        mount = self._through(sample)
        name = self.local.named(sample.path)
        wire: str | None = None
        if name is not None and name.at.native == sample.native and isinstance(mount, Opened):
            given = self._handle_at(sample.path)
            if given is not None:
                wire = str(given.fsid)
                name = Name(name.at, given.handle or fileid.encode(ROOT, 0))
        agree = not isinstance(mount, Opened) or not isinstance(native, Opened) or _agree(mount, native)
        return Evidence(mount, native, name, self.local.expected(sample.native), fsid=wire, attributes_agree=agree)

    def inquest(self, sample: Sample, *, root_replaced: bool) -> Evidence:
        """Gather all there is."""
        return replace(self.evidence(sample), root_replaced=root_replaced)

    def path_of(self, native: NativeHandle) -> bytes | None:
        """Return the path of a file of the source; see View."""
        return self.local.path_of(native)

    def behind(self, native: NativeHandle) -> Answer:
        """Open a native handle on the source."""
        return self.local.behind(native)

    def _through(self, sample: Sample) -> Answer:
        try:
            handle = forms.for_client(sample.handle, self.fsid, sample.type)
            descriptor = handles.open_by_handle(self.nfs, handle, os.O_PATH | os.O_NOFOLLOW)
            try:
                found = statx(descriptor)
            finally:
                os.close(descriptor)
            node = NodeId(found.inode)  # the inode number that the mount shows is the node id
            if node == ROOT:
                native = handles.name_to_handle(self.local.source)
            else:
                native = self.local.codec.decode(node)
                opened = self.local.behind(native)
                native = opened.native if isinstance(opened, Opened) else native
        except OSError as error:
            return Refused(errno_name(error))
        return Opened(native, found._replace(birth=0))

    def _handle_at(self, path: bytes) -> forms.NfsHandle | None:
        try:
            handle = handles.name_to_handle(self.nfs, path, 0 if path else handles.AT_EMPTY_PATH)
        except OSError as error:
            if errno_name(error) in ("ENOENT", "ENOTDIR", STALE):
                return None
            raise
        return forms.of_client(handle)


def _agree(mount: Opened, native: Opened) -> bool:
    over, behind = mount.found, native.found
    return (over.type, over.size, over.mtime) == (behind.type, behind.size, behind.mtime)


@contextmanager
def mounted(share: str, port: int, place: Path) -> Iterator[int]:
    """Mount a share over NFS in a new mount namespace of this process, and give a descriptor of its root.

    Raises KernelError if this kernel has no NFS client, MountError if the server refuses.
    """
    mounts.unshare(mounts.CLONE_NEWNS)
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_PRIVATE)
    place.mkdir(parents=True, exist_ok=True)
    try:
        options = _OPTIONS.format(address=_ADDRESS, port=port)
        flags = mounts.MS_RDONLY | mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
        mounts.mount(f"{_ADDRESS}:/{share}", place, "nfs4", flags, options)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise KernelError("the kernel has no NFS client", "on the host: modprobe nfs", code="no-nfs") from error
        raise MountError(f"the share cannot be mounted over NFS here: {error.strerror}") from error
    try:
        with opened_mount(place) as root:
            yield root
    finally:
        mounts.umount(place, mounts.MNT_DETACH)
