"""Numbers of the shares' data paths: what workers served, how fast, what became of them; and room on the sources."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from appliance.control.checks import NumbersReply
from appliance.model.numbers import Capacity, DataNumbers

_COUNTERS = {
    "worker_deaths": ("holdfast_worker_deaths", "Workers that died unasked."),
    "recoveries": ("holdfast_recoveries", "Times that service was restored after a death."),
    "refused_requests": ("holdfast_refused_requests", "Requests answered with EIO because they killed each worker."),
    "resends": ("holdfast_resends", "Times that the kernel was told to queue unanswered requests again."),
    "cache_hits": ("holdfast_descriptor_cache_hits", "Requests that found their file open."),
    "cache_misses": ("holdfast_descriptor_cache_misses", "Requests that had to open their file by handle."),
}
_GAUGES = {
    "workers": ("holdfast_workers", "Workers that serve."),
    "descriptors": ("holdfast_open_descriptors", "Files that workers keep open for speed."),
    "kept_inodes": ("holdfast_kept_inodes", "Unlinked files that are kept because somebody has them open."),
    "passthrough": ("holdfast_passthrough", "1 if the kernel reads and writes the files itself, 0 if workers do."),
    "open_files": ("holdfast_open_files", "Files that NFS clients and programs have open."),
    "backing_ids": ("holdfast_passthrough_files", "Open inodes that the kernel reads and writes itself."),
}
_CAPACITY = {
    "bytes_total": ("holdfast_source_bytes", "Size of the source's filesystem."),
    "bytes_free": ("holdfast_source_free_bytes", "Free space of it, with what is reserved for root."),
    "bytes_available": ("holdfast_source_available_bytes", "Free space of it for everybody."),
    "inodes_total": ("holdfast_source_inodes", "Inodes of the source's filesystem; 0 if it has no fixed number."),
    "inodes_free": ("holdfast_source_free_inodes", "Free inodes of it."),
}


class Data(Collector):
    """What workers, pools and sources are about."""

    def __init__(self, numbers: NumbersReply) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        served = GaugeMetricFamily("holdfast_share_served", "1 if the share's workers answer.", labels=["share"])
        for share in self._numbers.shares:
            served.add_metric([share.share], float(share.served))
        yield served
        yield from self._operations()
        data = [(share.share, share.data) for share in self._numbers.shares if share.data]
        for field, (name, text) in _COUNTERS.items():
            counter = CounterMetricFamily(name, f"{text} Since the share was mounted.", labels=["share"])
            yield _filled(counter, data, field)
        for field, (name, text) in _GAUGES.items():
            yield _filled(GaugeMetricFamily(name, text, labels=["share"]), data, field)
        room = [(share.share, share.capacity) for share in self._numbers.shares if share.capacity]
        for field, (name, text) in _CAPACITY.items():
            yield _filled(GaugeMetricFamily(name, text, labels=["share"]), room, field)

    def _operations(self) -> Iterator[Metric]:
        labels = ["share", "operation"]
        errors = CounterMetricFamily(
            "holdfast_operation_errors", "Requests answered with an error, such as a name not found.", labels=labels
        )
        seconds = HistogramMetricFamily(
            "holdfast_operation_seconds", "Requests of the kernel that workers served, by how long they took.",
            labels=labels,
        )  # fmt: skip
        bounds = [*(f"{bound:.9f}".rstrip("0") for bound in self._numbers.bounds), "+Inf"]
        for share in self._numbers.shares:
            for one in share.data.operations if share.data else ():
                errors.add_metric([share.share, one.operation], one.errors)
                buckets = list(zip(bounds, accumulate(map(float, one.buckets)), strict=True))
                seconds.add_metric([share.share, one.operation], buckets, one.seconds)
        yield from (errors, seconds)


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, rows: list[tuple[str, DataNumbers]] | list[tuple[str, Capacity]],
    field: str,
) -> Metric:  # fmt: skip
    for share, values in rows:
        if (value := getattr(values, field)) is not None:
            family.add_metric([share], value)
    return family
