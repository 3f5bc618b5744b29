"""The source: the directory that is shared, held by a private copy of its mount."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from appliance.errors import PermissionMissing, SourceError
from appliance.fuse import nodes
from appliance.linux import handles, mounts

_CONTAINER_HINT = "a container's own filesystem has none: bind-mount a directory of ext4 from the host"


class Source:
    """A shared directory, opened. Mounts below it are not part of it, and unmounting it elsewhere does not end it."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.fd = descriptor
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Source:
        """Open `path` and prove that its files can be found again by handle. Raises SourceError."""
        descriptor = _open_private_copy(path)
        try:
            _prove_handles(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, path)

    def close(self) -> None:
        """Release the directory."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open_private_copy(path: Path) -> int:
    if not path.is_absolute():
        raise SourceError(f"the source {path} is not an absolute path", code="source-relative")
    try:
        tree = mounts.open_tree_clone(path)
        try:
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
        finally:
            os.close(tree)
    except FileNotFoundError as error:
        raise SourceError(f"the source {path} does not exist", code="source-missing") from error
    except NotADirectoryError as error:
        raise SourceError(f"the source {path} is not a directory", code="source-not-directory") from error
    except PermissionError as error:
        raise PermissionMissing(f"the mount of {path} cannot be copied", "run as root with CAP_SYS_ADMIN") from error
    except OSError as error:
        raise SourceError(f"the source {path} cannot be opened: {error.strerror}") from error


def _prove_handles(descriptor: int, path: Path) -> None:
    """Take the handle of the directory and open it again, as every request will."""
    try:
        handle = handles.name_to_handle(descriptor)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EOVERFLOW):
            raise SourceError(f"no handle for the source {path}: {error.strerror}") from error
        raise SourceError(
            f"the filesystem of {path} gives no file handles", _CONTAINER_HINT, code="source-no-handles"
        ) from error
    if nodes.codec_for(handle) is None:
        raise SourceError(
            f"the filesystem of {path} has handles of type {handle.type:#x} with {len(handle.data)} bytes, "
            "which Holdfast cannot serve yet",
            "use a directory on ext4",
            code="source-filesystem",
        )
    try:
        os.close(handles.open_by_handle(descriptor, handle, os.O_PATH))
    except PermissionError as error:
        raise PermissionMissing(
            "files may not be opened by handle",
            "CAP_DAC_READ_SEARCH is needed in the initial user namespace",
            code="no-open-by-handle",
        ) from error
    except OSError as error:
        raise SourceError(
            f"the filesystem of {path} does not open its own handles: {error.strerror}",
            _CONTAINER_HINT,
            code="source-no-handles",
        ) from error
