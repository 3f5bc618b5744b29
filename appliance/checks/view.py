"""A share as a check sees it: its mount, and the source behind it. The thin part that touches the kernel.

Whatever goes through the mount may wait for as long as the share's storage does, so this is for processes of their own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.checks import fileid
from appliance.checks.evidence import STALE, Answer, Evidence, Name, Opened, Refused
from appliance.checks.samples import Sample
from appliance.fuse import testimony
from appliance.fuse.key import HandleKey
from appliance.fuse.nodes import Codec, NodeId
from appliance.linux import handles
from appliance.linux.files import proc_path
from appliance.linux.handles import NativeHandle
from appliance.linux.statx import statx

_PATH = os.O_PATH | os.O_NOFOLLOW
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class View:
    """Descriptors of the mount's root and of the source, both good for open_by_handle_at(2); and the share's rules."""

    mount: int
    source: int
    codec: Codec
    key: HandleKey

    def through(self, handle: NativeHandle) -> Answer:
        """Open a handle through the mount and have a worker tell which file of the source that is."""
        try:
            with _opened(self.mount, handle) as descriptor:
                value = os.getxattr(proc_path(descriptor), testimony.ATTRIBUTE)
                said = testimony.parse(value)
                # What the kernel has cached for clients must be of that file as well.
                kind = statx(descriptor, from_cache=True).type
        except OSError as error:
            return Refused(errno_name(error))
        return Opened(said.handle, said.found._replace(type=kind))

    def behind(self, handle: NativeHandle) -> Answer:
        """Open a native handle on the source."""
        try:
            with _opened(self.source, handle) as descriptor:
                # ext4 opens any inode of that number for a handle with generation 0.
                found = handles.name_to_handle(descriptor)
                return Opened(found, statx(descriptor)) if found == handle else Refused(STALE)
        except OSError as error:
            return Refused(errno_name(error))

    def at(self, node: NodeId) -> Answer:
        """Open the inode of a node id on the source. The answer has its whole handle, of which that may be a part."""
        try:
            with _opened(self.source, self.codec.decode(node)) as descriptor:
                found = handles.name_to_handle(descriptor)
                same = self.codec.encode(found).node == node
                return Opened(found, statx(descriptor)) if same else Refused(STALE)
        except OSError as error:
            return Refused(errno_name(error))

    def named(self, path: bytes) -> Name | None:
        """Return what is at a path of the source, None if nothing is. Raises OSError."""
        try:
            with self._at(self.source, path) as descriptor:
                return Name(Opened(handles.name_to_handle(descriptor), statx(descriptor)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
                return None
            raise

    def handle_at(self, path: bytes) -> NativeHandle | None:
        """Return the handle that a path gets on the mount now, None if nothing is there. Raises OSError."""
        try:
            return handles.name_to_handle(self.mount, path, 0 if path else handles.AT_EMPTY_PATH)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def expected(self, native: NativeHandle) -> NativeHandle | None:
        """Return the handle that a file should have on the mount, None if it should have none."""
        if native == self.expected_root:
            return fileid.encode(NodeId(1), 0)
        try:
            node, identity = self.codec.encode(native)
        except OSError:
            return None
        return fileid.encode(node, self.key.generation(identity))

    @property
    def expected_root(self) -> NativeHandle:
        """The native handle of the share's root."""
        return handles.name_to_handle(self.source)

    def evidence(self, sample: Sample) -> Evidence:
        """Gather what a healthy sample's verdict takes: one request to the mount if the kernel knows the inode."""
        mount, native = self.through(sample.handle), self.behind(sample.native)
        # Most have kept their names, and that takes one call to see.
        kept = isinstance(native, Opened) and self._is_at(sample.native, sample.path)
        name = Name(native) if kept and isinstance(native, Opened) else self.named(sample.path)
        return Evidence(mount, native, name)

    def _is_at(self, native: NativeHandle, path: bytes) -> bool:
        try:
            return handles.name_to_handle(self.source, path, 0 if path else handles.AT_EMPTY_PATH) == native
        except OSError:
            return False

    def inquest(self, sample: Sample, *, root_replaced: bool) -> Evidence:
        """Gather all there is: also what a fresh look-up of the old path gives."""
        seen = self.evidence(sample)
        name = seen.name
        if name is not None and name.at.native == sample.native:
            name = Name(name.at, self.handle_at(sample.path))
        outside = isinstance(seen.native, Opened) and self._left(seen.native)
        return Evidence(seen.mount, seen.native, name, self.expected(sample.native), root_replaced, outside)

    def _left(self, opened: Opened) -> bool:
        try:
            return stat.S_ISDIR(opened.found.type) and self.path_of(opened.native) is None
        except OSError:
            return False

    def path_of(self, native: NativeHandle) -> bytes | None:
        """Return the path below the source of a file, if the kernel can tell. Raises OSError.

        It always can for a directory; for another file only while one of its names is in its cache.
        """
        with _opened(self.source, native) as descriptor:
            path = os.readlink(os.fsencode(proc_path(descriptor)))
        root = os.readlink(os.fsencode(proc_path(self.source))).rstrip(b"/")
        if path != root and not path.startswith(root + b"/"):
            return None
        relative = path[len(root) + 1 :]
        found = self.named(relative)
        return relative if found is not None and found.at.native == native else None

    @contextmanager
    def _at(self, root: int, path: bytes) -> Iterator[int]:
        descriptor = os.open(path or b".", _PATH | os.O_CLOEXEC, dir_fd=root)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def opened_mount(mountpoint: str | os.PathLike[str]) -> Iterator[int]:
    """Open the root of a mount, for open_by_handle_at(2). Raises OSError."""
    descriptor = os.open(mountpoint, _DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(mount: int, handle: NativeHandle) -> Iterator[int]:
    descriptor = handles.open_by_handle(mount, handle, _PATH)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def errno_name(error: OSError) -> str:
    """Return the name of an error's number, such as ESTALE."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))
