"""The real data path: shares mounted through our own FUSE daemon, which outlive the supervisor."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.checks.eviction import evict
from appliance.fuse.connection import Connection
from appliance.fuse.fd_store import FdStore, Held
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_process import PoolProcess
from appliance.fuse.source import Source
from appliance.fuse.source_id import Backing
from appliance.linux import mounts
from appliance.state.records import Identity
from appliance.supervisor.datapath import Mounted, Pool


class FuseMount:
    """A share's mount through our own FUSE daemon."""

    def __init__(
        self, name: str, source: Source, connection: Connection, store: FdStore, held: Mapping[str, Held]
    ) -> None:
        self._name = name
        self._source = source
        self._connection = connection
        self._store = store
        self._held = held

    @property
    def source(self) -> int:
        """The descriptor of the source directory."""
        return self._source.fd

    def pool(self, options: PoolOptions, key: bytes) -> Pool:
        """Return a pool for this mount, not started; `key` makes the generations of its handles."""
        return PoolProcess.create(self._name, self._source, self._connection, options, key, self._store)

    def adopt_pool(self, options: PoolOptions) -> Pool:
        """Return the pool of an adopted mount, which runs."""
        return PoolProcess.adopt(self._name, self._source, self._connection, options, self._held, self._store)

    def keep(self, description: str) -> None:
        """From now on let the share outlive this process; `description` is for its successor."""
        text = json.dumps({"description": description, "init": self._connection.init_request.hex()})
        self._store.keep(_entry(self._name), text, (self._connection.fd, self._source.fd))

    def forget(self) -> None:
        """Have the kernel forget names and inodes that nobody has open. Raises OSError."""
        evict(self._connection.mountpoint)

    def unmount(self, *, lazy: bool) -> None:
        """Unmount and take the mount point away, so that nobody takes the empty directory for the share."""
        self._connection.unmount(lazy=lazy)
        # Not before: a mount that is in use goes on, and has to outlive this process as it did until now.
        self._store.drop(_entry(self._name))
        with contextlib.suppress(FileNotFoundError):
            self._connection.mountpoint.rmdir()

    def close(self) -> None:
        """Release source and connection."""
        self._connection.close()
        self._source.close()


class FuseDataPath:
    """The real data path."""

    def __init__(self, store: FdStore, held: Mapping[str, Held], roots: Sequence[Path] = ()) -> None:
        """`held` is what a predecessor of this process has left in the store; sources lie in one of `roots`, if any."""
        self._roots = roots
        self._store = store
        self._held = dict(held)

    def mount(self, name: str, source: Path, identity: Identity, mountpoint: Path) -> Mounted:
        """Open the source, if it is what `identity` is about, and mount it at a directory that is made for it.

        Blocks; raises HoldfastError.
        """
        opened = Source.open(source, identity.codec, identity.source_id, self._roots)
        try:
            # A client that is let into the NFS root but not into this share is shown the directory below the mount:
            # closed to everybody, rather than an empty one.
            mountpoint.mkdir(mode=0, exist_ok=True)
            try:
                return FuseMount(name, opened, Connection.mount(mountpoint, name), self._store, {})
            except BaseException:
                mountpoint.rmdir()
                raise
        except BaseException:
            opened.close()
            raise

    def kept(self) -> Mapping[str, str]:
        """Return the descriptions that a predecessor of this process has left, by the names of the shares."""
        entries = {name: held for name, held in self._held.items() if name.startswith(_entry(""))}
        return {name.removeprefix(_entry("")): json.loads(held.text)["description"] for name, held in entries.items()}

    def adopt(self, name: str, source: Path, identity: Identity, mountpoint: Path) -> Mounted:
        """Take over the mount of a share that was kept. Raises KeyError if a part of it was not."""
        parts = {entry: self._held[entry] for entry in PoolProcess.entries(name, self._held)}
        held = self._held[_entry(name)]
        for entry in (_entry(name), *parts):
            del self._held[entry]
        connection, opened = held.descriptors
        init_request = bytes.fromhex(json.loads(held.text)["init"])
        return FuseMount(
            name,
            Source(opened, source, identity.codec),
            Connection(connection, init_request, mountpoint),
            self._store,
            parts,
        )

    def discard_kept(self) -> None:
        """Let go of what was kept and not adopted; such mounts lose their server."""
        for entry, held in self._held.items():
            self._store.drop(entry)
            for descriptor in held.descriptors:
                os.close(descriptor)
        self._held.clear()

    def prove(self, source: Path) -> Backing:
        """Return what a source is; raises HoldfastError unless the directory can be one. Blocks."""
        opened = Source.open(source, roots=self._roots)
        try:
            return Backing(opened.codec, opened.identify())
        finally:
            opened.close()

    def unmount_stray(self, path: Path) -> None:
        """Detach what is mounted at `path` and not ours. Raises OSError."""
        mounts.umount(path, mounts.MNT_DETACH)


def _entry(name: str) -> str:
    return f"share/{name}"
