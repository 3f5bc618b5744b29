"""A share as a client sees it: the same questions as View's, and the handles travel as NFS file handles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from appliance.checks import fileid, forms, nfs4
from appliance.checks.evidence import Answer, Evidence, Name, Opened, Refused
from appliance.checks.messages import OverNfs
from appliance.checks.samples import Sample
from appliance.checks.view import View, errno_name
from appliance.errors import MountError
from appliance.fuse.nodes import ROOT, NodeId, Stale
from appliance.linux.handles import NativeHandle

_ADDRESS = "127.0.0.1"
_SECONDS = 30.0  # for one answer


@dataclass(frozen=True)
class NfsView:
    """A share's source, and a session with the NFS server; `root` is the share's file handle."""

    local: View
    session: nfs4.Session
    root: bytes
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
        agree = not isinstance(mount, Opened) or not isinstance(native, Opened) or self._agree(sample, mount, native)
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
            found = self.session.attributes(forms.nfs_handle(sample.handle, self.fsid))
            node = NodeId(found.inode)  # the inode number that the mount shows is the node id
            native = self.local.expected_root if node == ROOT else self.local.codec.decode(node)
        except (nfs4.NfsError, Stale) as error:
            return Refused(errno_name(error))
        opened = self.local.behind(native)
        return Opened(opened.native if isinstance(opened, Opened) else native, found)

    def _agree(self, sample: Sample, mount: Opened, native: Opened) -> bool:
        """Whether what clients are told of a file is what the source has, or what it will have.

        A client with a write delegation has size and times that the source has not yet, and the server asks it for
        them (CB_GETATTR). Then a worker tells which file the handle opens, as in the other checks.
        """
        over, behind = mount.found, native.found
        if (over.type, over.size, over.mtime) == (behind.type, behind.size, behind.mtime):
            return True
        served = self.local.through(sample.handle)
        return over.type == behind.type and isinstance(served, Opened) and served.native == native.native

    def _handle_at(self, path: bytes) -> forms.NfsHandle | None:
        try:
            handle = self.session.look_up(path.split(b"/") if path else (), self.root)
        except nfs4.NfsError:
            return None  # it has changed under our hands; what opens is what counts
        return forms.parse_nfs(handle)


@contextmanager
def connected(view: View, fsid: UUID, way: OverNfs) -> Iterator[NfsView]:
    """Give a view of a share through the NFS server on this machine. Raises MountError if it does not let us in."""
    try:
        with nfs4.connected(_ADDRESS, way.port, _SECONDS, way.caller) as session:
            root = session.look_up(way.path.strip("/").encode().split(b"/"))
            yield NfsView(view, session, root, fsid)
    except OSError as error:
        raise MountError(f"the share cannot be reached over NFS: {error.strerror or error}") from error
