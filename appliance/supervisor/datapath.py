"""The data path as the supervisor needs it, so that tests can put another in its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from appliance.fuse.meter import Totals
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import PoolEvent
from appliance.fuse.source_id import Backing
from appliance.state.records import Identity


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

    def totals(self) -> Totals:
        """What its workers have counted since the share was mounted."""
        ...

    def request_status(self) -> None:
        """Ask for a PoolStatus event."""
        ...

    def resize(self, options: PoolOptions) -> None:
        """End it, and have the next one serve in another way. Blocks."""
        ...

    def close(self) -> None:
        """Stop it. Blocks."""
        ...


class Mounted(Protocol):
    """A share's mount, which nobody serves yet; the calls block."""

    @property
    def source(self) -> int:
        """The descriptor of the source directory."""
        ...

    def pool(self, options: PoolOptions, key: bytes) -> Pool:
        """Return a pool for this mount, not started; `key` makes the generations of its handles."""
        ...

    def adopt_pool(self, options: PoolOptions) -> Pool:
        """Return the pool of an adopted mount, which runs."""
        ...

    def keep(self, description: str) -> None:
        """From now on let the share outlive this process; `description` is for its successor."""
        ...

    def forget(self) -> None:
        """Have the kernel forget names and inodes that nobody has open. Raises OSError."""
        ...

    def unmount(self, *, lazy: bool) -> None:
        """Unmount; raises MountError when it is in use, unless `lazy`."""
        ...

    def close(self) -> None:
        """Release source and connection."""
        ...


class DataPath(Protocol):
    """Makes mounts."""

    def mount(self, name: str, source: Path, identity: Identity, mountpoint: Path) -> Mounted:
        """Open the source, if it is what `identity` is about, and mount it at a directory that is made for it.

        Blocks; raises HoldfastError.
        """
        ...

    def kept(self) -> Mapping[str, str]:
        """Return the descriptions that a predecessor of this process has left, by the names of the shares."""
        ...

    def adopt(self, name: str, source: Path, identity: Identity, mountpoint: Path) -> Mounted:
        """Take over the mount of a share that was kept. Raises KeyError if a part of it was not."""
        ...

    def discard_kept(self) -> None:
        """Let go of what was kept and not adopted; such mounts lose their server."""
        ...

    def prove(self, source: Path) -> Backing:
        """Return what a source is; raises HoldfastError unless the directory can be one. Blocks."""
        ...

    def unmount_stray(self, path: Path) -> None:
        """Detach what is mounted at `path` and not ours. Raises OSError."""
        ...
