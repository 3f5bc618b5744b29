"""Numbers of the kernel's NFS server, of its clients, and of the appliance's own processes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from appliance.control.checks import NumbersReply
from appliance.model.numbers import ClientNumbers, ServerNumbers

_COUNTERS = {
    "bytes_read": ("holdfast_nfsd_read_bytes", "Bytes that clients have read."),
    "bytes_written": ("holdfast_nfsd_written_bytes", "Bytes that clients have written."),
    "stale_handles": ("holdfast_nfsd_stale_handles", "Handles that were answered with ESTALE."),
    "tcp_connections": ("holdfast_nfsd_connections", "TCP connections that were made."),
    "calls": ("holdfast_nfsd_calls", "RPC calls."),
    "bad_calls": ("holdfast_nfsd_bad_calls", "RPC calls that were refused."),
}
_CACHE_COUNTERS = ("hits", "misses", "not_cached", "payload_misses")
_CACHE_GAUGES = ("entries", "entries_max", "bytes")


class Server(Collector):
    """What nfsd counts."""

    def __init__(self, numbers: NumbersReply) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        restarts = CounterMetricFamily(
            "holdfast_child_restarts", "Times that a process of the appliance was started again.", labels=["child"]
        )
        for child, count in self._numbers.restarts.items():
            restarts.add_metric([child], count)
        yield restarts
        up = GaugeMetricFamily("holdfast_nfsd_up", "1 if the NFS server could be asked.")
        up.add_metric([], float(self._numbers.server is not None))
        yield up
        if self._numbers.server:
            yield from _server(self._numbers.server)
        if self._numbers.clients:
            yield from _clients(self._numbers.clients)


def _server(server: ServerNumbers) -> Iterator[Metric]:
    threads = GaugeMetricFamily("holdfast_nfsd_threads", "Threads of the NFS server.")
    threads.add_metric([], server.threads)
    yield threads
    for field, (name, text) in _COUNTERS.items():
        counter = CounterMetricFamily(name, text)
        counter.add_metric([], getattr(server, field))
        yield counter
    operations = CounterMetricFamily(
        "holdfast_nfsd_operations", "NFS operations, by version and name.", labels=["version", "operation"]
    )
    for version, counts in server.operations.items():
        for operation, count in counts.items():
            operations.add_metric([version, operation], count)
    yield operations
    for key in _CACHE_COUNTERS:
        counter = CounterMetricFamily(f"holdfast_nfsd_reply_cache_{key}", f"Reply cache: {key.replace('_', ' ')}.")
        counter.add_metric([], server.reply_cache.get(key, 0))
        yield counter
    for key in _CACHE_GAUGES:
        gauge = GaugeMetricFamily(f"holdfast_nfsd_reply_cache_{key}", f"Reply cache: {key.replace('_', ' ')}.")
        gauge.add_metric([], server.reply_cache.get(key, 0))
        yield gauge
    packets = CounterMetricFamily("holdfast_nfsd_pool_packets", "Packets that arrived.", labels=["pool"])
    queued = CounterMetricFamily(
        "holdfast_nfsd_pool_sockets_queued", "Times that a connection waited for a thread.", labels=["pool"]
    )
    woken = CounterMetricFamily("holdfast_nfsd_pool_threads_woken", "Times that a thread was there.", labels=["pool"])
    for pool in server.pools:
        packets.add_metric([str(pool.pool)], pool.packets)
        queued.add_metric([str(pool.pool)], pool.sockets_queued)
        woken.add_metric([str(pool.pool)], pool.threads_woken)
    yield from (packets, queued, woken)


def _clients(clients: ClientNumbers) -> Iterator[Metric]:
    known = GaugeMetricFamily("holdfast_nfs_clients", "NFSv4 clients, by what they are.", labels=["status"])
    for status, count in clients.by_status.items():
        known.add_metric([status], count)
    held = GaugeMetricFamily(
        "holdfast_nfs_client_states", "What NFSv4 clients hold, by share and kind.", labels=["share", "kind"]
    )
    for share, counts in clients.held.items():
        for kind, count in counts.items():
            held.add_metric([share, kind], count)
    yield from (known, held)
