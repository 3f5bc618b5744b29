"""What is counted and measured, as the supervisor tells it to the API. All counts only ever grow, until a restart."""

from __future__ import annotations

from appliance.model.frozen import Frozen


class OperationNumbers(Frozen):
    """One kind of request that workers have served: how often, how often in vain, in how many seconds altogether.

    `buckets` are how many took how long; the bounds are in NumbersReply.
    """

    operation: str
    errors: int
    seconds: float
    buckets: tuple[int, ...]


class DataNumbers(Frozen):
    """A share's data path, since it was mounted; from `workers` on, but for what happened to them, as of now.

    `open_files` is None where libfuse is too old to count them, `backing_ids` where workers read and write.
    """

    operations: tuple[OperationNumbers, ...]
    cache_hits: int
    cache_misses: int
    workers: int
    worker_deaths: int
    recoveries: int
    refused_requests: int
    resends: int
    descriptors: int
    kept_inodes: int
    passthrough: bool = False
    open_files: int | None = None
    backing_ids: int | None = None


class Capacity(Frozen):
    """Room on a share's source: bytes and inodes. A filesystem that has no fixed number of inodes says 0."""

    bytes_total: int
    bytes_free: int
    bytes_available: int
    inodes_total: int
    inodes_free: int


class PoolNumbers(Frozen):
    """One pool of nfsd's threads."""

    pool: int
    packets: int
    sockets_queued: int
    threads_woken: int


class ServerNumbers(Frozen):
    """What the kernel's NFS server counts; `operations` are by version and name."""

    threads: int
    bytes_read: int
    bytes_written: int
    stale_handles: int
    tcp_connections: int
    calls: int
    bad_calls: int
    operations: dict[str, dict[str, int]]
    reply_cache: dict[str, int]
    pools: tuple[PoolNumbers, ...]


class ClientNumbers(Frozen):
    """NFSv4 clients by what they are to the server, and what all of them hold on each share by kind."""

    by_status: dict[str, int]
    held: dict[str, dict[str, int]]
