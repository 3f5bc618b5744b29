"""The data path as the supervisor needs it, so that tests can put another in its place."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.connection import Connection
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import PoolEvent
from appliance.fuse.pool_process import PoolProcess
from appliance.fuse.source import Source
from appliance.linux import mounts


class Pool(Protocol):
    """The pool process of one share; see PoolProcess."""

    @property
    def pid(self) -> int | None:
        """Its process id."""
        ...

    def start(self) -> None:
        """Begin a pool process."""
        ...

    def fileno(self) -> int:
        """Readable when `receive` has something to tell."""
        ...

    def receive(self) -> list[PoolEvent] | None:
        """What has happened; None if the process has died."""
        ...

    def request_status(self) -> None:
        """Ask for a PoolStatus event."""
        ...

    def resize(self, workers: int) -> None:
        """End it, and have the next one serve with another number of workers. Blocks."""
        ...

    def close(self) -> None:
        """Stop it. Blocks."""
        ...


class Mounted(Protocol):
    """A share's mount, which nobody serves yet; the calls block."""

    def pool(self, options: PoolOptions, key: bytes) -> Pool:
        """Return a pool for this mount, not started; `key` makes the generations of its handles."""
        ...

    def unmount(self, *, lazy: bool) -> None:
        """Unmount; raises MountError when it is in use, unless `lazy`."""
        ...

    def close(self) -> None:
        """Release source and connection."""
        ...


class DataPath(Protocol):
    """Makes mounts."""

    def mount(self, name: str, source: Path, codec: CodecChoice, mountpoint: Path) -> Mounted:
        """Open the source, for which `codec` was chosen, and mount it at a directory that is made for it.

        Blocks; raises HoldfastError.
        """
        ...

    def prove(self, source: Path) -> CodecChoice:
        """Return the codec that a source needs; raises HoldfastError unless the directory can be one. Blocks."""
        ...

    def unmount_stray(self, path: Path) -> None:
        """Detach what is mounted at `path` and not ours. Raises OSError."""
        ...


class FuseMount:
    """A share's mount through our own FUSE daemon."""

    def __init__(self, name: str, source: Source, connection: Connection) -> None:
        self._name = name
        self._source = source
        self._connection = connection

    def pool(self, options: PoolOptions, key: bytes) -> Pool:
        """Return a pool for this mount, not started; `key` makes the generations of its handles."""
        return PoolProcess(self._name, self._source, self._connection, options, key)

    def unmount(self, *, lazy: bool) -> None:
        """Unmount and take the mount point away, so that nobody takes the empty directory for the share."""
        self._connection.unmount(lazy=lazy)
        with contextlib.suppress(FileNotFoundError):
            self._connection.mountpoint.rmdir()

    def close(self) -> None:
        """Release source and connection."""
        self._connection.close()
        self._source.close()


class FuseDataPath:
    """The real data path."""

    def mount(self, name: str, source: Path, codec: CodecChoice, mountpoint: Path) -> Mounted:
        """Open the source, for which `codec` was chosen, and mount it at a directory that is made for it.

        Blocks; raises HoldfastError.
        """
        opened = Source.open(source, codec)
        try:
            mountpoint.mkdir(mode=0o755, exist_ok=True)
            try:
                return FuseMount(name, opened, Connection.mount(mountpoint, name))
            except BaseException:
                mountpoint.rmdir()
                raise
        except BaseException:
            opened.close()
            raise

    def prove(self, source: Path) -> CodecChoice:
        """Return the codec that a source needs; raises HoldfastError unless the directory can be one. Blocks."""
        opened = Source.open(source)
        opened.close()
        return opened.codec

    def unmount_stray(self, path: Path) -> None:
        """Detach what is mounted at `path` and not ours. Raises OSError."""
        mounts.umount(path, mounts.MNT_DETACH)
