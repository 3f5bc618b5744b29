"""The source: the directory that is shared, held by a private copy of its mount."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import PermissionMissing, SourceError
from appliance.fuse import source_id
from appliance.fuse.codecs import choice
from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.source_id import SourceId
from appliance.linux import beneath, handles, mounts

_CONTAINER_HINT = (
    "a container's own filesystem (overlayfs without nfs_export) has none: bind-mount a directory of ext4, xfs or "
    "btrfs from the host"
)
_MISSING_HINT = (
    "make the directory, or mount the filesystem that has it; in a container it has to be below a directory of the "
    "host that the container was given, with propagation rslave if it is mounted later"
)
_BROKEN_HINT = "see what the kernel's log says of the storage; mount the filesystem again when it is mended"


class Source:
    """A shared directory, opened. Mounts below it are not part of it, and unmounting it elsewhere does not end it."""

    def __init__(self, descriptor: int, path: Path, codec: CodecChoice) -> None:
        self.fd = descriptor
        self.path = path
        self.codec = codec

    @classmethod
    def open(
        cls,
        path: Path,
        kept: CodecChoice | None = None,
        known: SourceId | None = None,
        roots: Sequence[Path] = (),
    ) -> Source:
        """Open `path` and prove that its files can be found again by handle. Raises SourceError.

        With `roots` given, `path` has to lie in one of these directories, also behind its symbolic links.

        `kept` is the choice of codec that was made when the share was new: it goes on, or the source is refused.
        `known` is what the source was then: what is found is that directory of that filesystem, or is refused.
        """
        descriptor = _open_private_copy(path, roots)
        try:
            found = _prove_handles(descriptor, path)
            if kept is not None:
                choice.confirm(kept, found, path)
            if known is not None:
                source_id.confirm(known, _identify(descriptor, found, path), path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, path, kept or found)

    def identify(self) -> SourceId:
        """Return what tells it from any other directory. Raises SourceError."""
        return _identify(self.fd, self.codec, self.path)

    def close(self) -> None:
        """Release the directory."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open_private_copy(path: Path, roots: Sequence[Path]) -> int:
    if not path.is_absolute():
        raise SourceError(f"the source {path} is not an absolute path", code="source-relative")
    try:
        with _confined(path, roots) as place:
            tree = mounts.open_tree_clone(place)
        try:
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
        finally:
            os.close(tree)
    except FileNotFoundError as error:
        raise SourceError(f"the source {path} does not exist", _MISSING_HINT, code="source-missing") from error
    except NotADirectoryError as error:
        raise SourceError(
            f"the source {path} is not a directory", "share a directory", code="source-not-directory"
        ) from error
    except PermissionError as error:
        raise PermissionMissing(f"the mount of {path} cannot be copied", "run as root with CAP_SYS_ADMIN") from error
    except OSError as error:
        if error.errno == errno.EXDEV and roots:
            raise outside(path, roots, "leaves them by a symbolic link") from error
        raise SourceError(f"the source {path} cannot be opened: {error.strerror}", _BROKEN_HINT) from error


@contextmanager
def _confined(path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield a path of the same directory that nobody can lead elsewhere. Raises OSError: EXDEV for a link outside."""
    if not roots:
        yield path
        return
    root = next((root for root in roots if path.is_relative_to(root)), None)
    if root is None:
        raise outside(path, roots, "does not lie in them")
    with (
        _opened(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as top,
        _opened(beneath.open_directory(top, str(path.relative_to(root)))) as found,
    ):
        yield Path(f"/proc/self/fd/{found}")


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def outside(path: Path, roots: Sequence[Path], how: str) -> SourceError:
    """Return the error that says that a source is not where sources may be."""
    return SourceError(
        f"sources are confined to {', '.join(map(str, roots))}, and {path} {how}",
        "mount the directory there, or name other roots in HOLDFAST_SOURCE_ROOTS",
        code="source-outside",
    )


def _prove_handles(descriptor: int, path: Path) -> CodecChoice:
    """Take the handle of the directory and open it again, as every request will. Returns the codec to do so."""
    try:
        handle = handles.name_to_handle(descriptor)
        found = choice.probe(descriptor)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EOVERFLOW):
            raise SourceError(f"no handle for the source {path}: {error.strerror}", _BROKEN_HINT) from error
        raise SourceError(
            f"the filesystem of {path} gives no file handles", _CONTAINER_HINT, code="source-no-handles"
        ) from error
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
    return found


def _identify(descriptor: int, codec: CodecChoice, path: Path) -> SourceId:
    try:
        return SourceId.of(descriptor, codec)
    except OSError as error:
        raise SourceError(f"the source {path} cannot be looked at: {error.strerror}", _BROKEN_HINT) from error
