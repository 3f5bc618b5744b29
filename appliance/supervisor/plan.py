"""What has to be done to get from what is to what shall be: one pure function.

The order of the actions is the order of NFS's own dependencies. Up: mount, serve, export, and threads last, so that no
client is told ESTALE about a share that is merely late. Down: threads first if all shall end, then unexport, then
unmount.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from appliance.fuse.caching import Caching
from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.source_id import SourceId
from appliance.nfs.exports import Export, expected, render
from appliance.nfs.server import Exported
from appliance.state.records import Fsid, Identity


@dataclass(frozen=True)
class Wanted:
    """A share as it shall be served."""

    name: str
    source: str
    identity: Identity
    workers: int
    path: str
    """Where it is mounted, below the root of what is exported, as in `/media/films`."""
    caching: Caching = Caching.SHARED
    """Who changes the source."""

    def to_json(self) -> str:
        """Return it as text, key and all."""
        identity = self.identity
        source_id = identity.source_id.to_json() if identity.source_id else None
        parts = {
            "fsid": str(identity.fsid),
            "codec": identity.codec.to_json(),
            "key": identity.key.hex(),
            "source_id": source_id,
        }
        own = {"name": self.name, "source": self.source, "workers": self.workers, "path": self.path}
        return json.dumps({**own, "caching": self.caching, **parts})

    @classmethod
    def from_json(cls, text: str) -> Wanted:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        key = bytes.fromhex(fields["key"])
        source_id = SourceId.from_json(fields["source_id"]) if fields["source_id"] else None
        identity = Identity(Fsid(UUID(fields["fsid"])), CodecChoice.from_json(fields["codec"]), key, source_id)
        return cls(
            *(fields["name"], fields["source"], identity, fields["workers"], fields["path"]),
            Caching(fields["caching"]),
        )

    def mountpoint(self, root: Path) -> Path:
        """Where it is mounted, `root` being the root of what is exported."""
        return root / self.path.lstrip("/")


@dataclass(frozen=True)
class Desired:
    """What shall be."""

    root: Path
    shares: Mapping[str, Wanted]
    exports: tuple[Export, ...]
    threads: int


@dataclass(frozen=True)
class Observed:
    """What is. `waiting` names shares whose last try failed and whose next is not due yet."""

    served: Mapping[str, Wanted]
    mounts: frozenset[Path]
    exported: Exported
    threads: int
    waiting: frozenset[str] = frozenset()
    lost_writes: Set[Fsid] = frozenset()
    """Shares whose filesystem was lost with what it had not written. Only a server that starts anew has its clients
    write again: by its write verifier they tell (RFC 8881, 18.3.3)."""


@dataclass(frozen=True)
class SetThreads:
    """Start the NFS server, or stop it with 0."""

    threads: int


@dataclass(frozen=True)
class ApplyExports:
    """Put these exports in force and make the kernel forget the others."""

    exported: Exported


@dataclass(frozen=True)
class Release:
    """Unmount a share and end its workers. `clients` also loses the state that NFS clients have on it."""

    name: str
    clients: bool


@dataclass(frozen=True)
class Unmount:
    """Unmount what nobody serves: left by a dead predecessor, or mounted by somebody else."""

    path: Path


@dataclass(frozen=True)
class Resize:
    """Give a share other workers: another number, or such as have the kernel cache in another way."""

    wanted: Wanted


@dataclass(frozen=True)
class Open:
    """Mount a share and start its workers."""

    wanted: Wanted


Action = SetThreads | ApplyExports | Release | Unmount | Resize | Open


def plan(desired: Desired, observed: Observed) -> list[Action]:
    """Return the actions that make `observed` become `desired`, in order; none if it is so already."""
    gone = [name for name, served in observed.served.items() if not _may_stay(desired, observed, name, served)]
    stay = {name: served for name, served in observed.served.items() if name not in gone}
    ours = {served.mountpoint(desired.root) for served in observed.served.values()}
    stray = sorted(observed.mounts - ours, reverse=True)
    opened = [wanted for name, wanted in desired.shares.items() if name not in stay and name not in observed.waiting]
    resized = [wanted for name, wanted in desired.shares.items() if name in stay and stay[name] != wanted]

    actions: list[Action] = []
    rewritten = any(wanted.identity.fsid in observed.lost_writes for wanted in opened)
    stopped = bool(observed.threads) and (rewritten or not desired.threads)
    if stopped:
        actions.append(SetThreads(0))
    final = exported(desired.root, desired.exports)
    losing = _losing(desired, observed, gone)
    closed = {desired.shares[name].mountpoint(desired.root) for name in losing if name in desired.shares}
    reduced = exported(desired.root, [export for export in desired.exports if export.path not in closed])
    # Nobody comes back to what is withheld, and its clients wait; the others of these are told ESTALE.
    ending = {observed.served[name].mountpoint(desired.root) for name in losing} - closed
    withheld = any(export.withheld and export.path in ending for export in desired.exports)
    now = observed.exported
    if gone and (not now.pairs <= reduced.pairs or (withheld and now != reduced)):
        actions.append(ApplyExports(reduced))
        now = reduced
    # A server that is down has let go of all files.
    actions += [Release(name, clients=bool(desired.threads) and name in losing) for name in gone]
    actions += [Unmount(path) for path in stray]
    actions += [Resize(wanted) for wanted in resized]
    actions += [Open(wanted) for wanted in opened]
    # A share that was mounted anew has to be flushed even if its line is the same: the kernel may wait for an answer
    # that rpc.mountd owed it while the share was not there.
    if opened or now != final:
        actions.append(ApplyExports(final))
    if desired.threads and (stopped or observed.threads != desired.threads):
        actions.append(SetThreads(desired.threads))
    return actions


def exported(root: Path, exports: tuple[Export, ...] | list[Export]) -> Exported:
    """Return what is to be seen when these exports are in force."""
    return Exported(render(root, exports), expected(root, exports))


def _may_stay(desired: Desired, observed: Observed, name: str, served: Wanted) -> bool:
    wanted = desired.shares.get(name)
    if wanted is None or served.mountpoint(desired.root) not in observed.mounts:
        return False
    return replace(wanted, workers=served.workers, caching=served.caching) == served


def _losing(desired: Desired, observed: Observed, gone: list[str]) -> set[str]:
    """The shares among `gone` whose handles or mounts end. What is only mounted anew stays exported: its clients wait.

    Handles end with the fsid and with the key alike. Clients lose their state first, which would keep the old mount.
    """

    def held(wanted: Wanted | None) -> tuple[Identity, str] | None:
        return (wanted.identity, wanted.path) if wanted else None

    return {name for name in gone if held(desired.shares.get(name)) != held(observed.served[name])}
