"""What a pool process tells the one who started it: one JSON object a message."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from appliance.fuse.scoreboard import WorkerStatus


@dataclass(frozen=True)
class PoolReady:
    """The workers serve; one that took more than a moment to attach may be about to."""

    workers: int


@dataclass(frozen=True)
class WorkerDied:
    """A worker has ended although nobody wanted it to."""

    pid: int
    reason: str


@dataclass(frozen=True)
class PoolRecovered:
    """After a death: the others were drained, the requests queued again, the pool is full. Time in milliseconds."""

    milliseconds: float
    intents: int


@dataclass(frozen=True)
class PoolDegraded:
    """Workers die as soon as they are started; the next try is made in `retry_in` seconds."""

    message: str
    retry_in: float


@dataclass(frozen=True)
class RequestRefused:
    """A request was answered with EIO, since each worker that took it died."""

    operation: str
    node: int
    deaths: int


@dataclass(frozen=True)
class StorageSlow:
    """Some of the workers wait for storage, the longest of them at this operation for so many seconds.

    Told when it begins, and again while it lasts.
    """

    operation: str
    node: int
    seconds: float
    waiting: int
    workers: int


@dataclass(frozen=True)
class StorageFine:
    """No worker waits for storage any more."""


@dataclass(frozen=True)
class PoolDisconnected:
    """The connection has ended: somebody has unmounted the share."""


@dataclass(frozen=True)
class DataPathStatus:
    """How files are read and written, and why not by the kernel, if it is not; how many are open, with how many ids.

    `open_files` is None where they are not counted.
    """

    passthrough: bool
    reason: str = ""
    open_files: int | None = None
    backing_ids: int = 0


@dataclass(frozen=True)
class CachingStatus:
    """Whether changes that local processes make behind the mount are noticed, and if not, why."""

    watched: bool
    reason: str = ""


@dataclass(frozen=True)
class PoolStatus:
    """The answer to a request for status. Counts are since the pool process began."""

    workers: list[WorkerStatus]
    deaths: int
    resends: int
    kept_inodes: int
    data_path: DataPathStatus
    caching: CachingStatus


@dataclass(frozen=True)
class InodeKept:
    """An unlinked inode is in use; its descriptor comes with the message, for its owner to keep as well."""

    node: int


@dataclass(frozen=True)
class InodeReleased:
    """A kept inode is not in use any more."""

    node: int


PoolEvent = (
    PoolReady
    | WorkerDied
    | PoolRecovered
    | PoolDegraded
    | RequestRefused
    | StorageSlow
    | StorageFine
    | PoolDisconnected
    | PoolStatus
    | InodeKept
    | InodeReleased
)

_TYPES: dict[str, type[PoolEvent]] = {
    kind.__name__: kind
    for kind in (
        *(PoolReady, WorkerDied, PoolRecovered, PoolDegraded, RequestRefused, StorageSlow, StorageFine),
        *(PoolDisconnected, PoolStatus, InodeKept, InodeReleased),
    )
}


def encode(event: PoolEvent) -> bytes:
    """Return the event as one message."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}).encode()


def decode(message: bytes) -> PoolEvent:
    """Read what `encode` wrote."""
    fields = json.loads(message)
    kind = _TYPES[fields.pop("event")]
    if kind is PoolStatus:
        fields["workers"] = [WorkerStatus(**worker) for worker in fields["workers"]]
        fields["data_path"] = DataPathStatus(**fields["data_path"])
        fields["caching"] = CachingStatus(**fields["caching"])
    return kind(**fields)
