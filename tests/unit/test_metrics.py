"""The numbers for Prometheus: what they are made of, and that dashboard and alerts name none that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from api.metrics.route import render
from appliance.control.checks import NumbersReply, ShareNumbers
from appliance.fuse.meter import BOUNDS, BUCKETS
from appliance.model.handles import HandleHealth
from appliance.model.numbers import Capacity, ClientNumbers, DataNumbers, OperationNumbers
from appliance.nfs import counters
from tests.support.played_supervisor import CHECK

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"

# In the form of Linux 6.12. The operations of NFSv4 by their numbers:
COUNTS = {3: 11, 4: 5, 6: 1, 8: 2, 9: 300, 10: 20, 15: 60, 18: 6, 22: 400, 25: 30, 38: 44, 53: 600, 72: 7, 75: 1}
OPERATIONS = f"proc4ops 76 {' '.join(str(COUNTS.get(number, 0)) for number in range(76))}"
RPC = f"""rc 3 5 700
fh 2 0 0 0 0
io 4096 8192
th 8 0 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000
ra 32 0 0 0 0 0 0 0 0 0 0 0
net 710 0 708 3
rpc 705 1 1 0 0
proc3 22 1 4 0 2 0 0 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
proc4 2 1 700
{OPERATIONS}
wdeleg_getattr 0
"""
POOLS = "# pool packets-arrived sockets-enqueued threads-woken threads-timedout\n0 700 12 688 0\n1 5 6 7 0\n"
CACHE = """max entries:           1024
num entries:           7
hash buckets:          64
mem usage:             4704
cache hits:            3
cache misses:          5
not cached:            700
payload misses:        0
longest chain len:     1
cachesize at longest:  1
"""

DATA = DataNumbers(
    operations=(OperationNumbers(operation="mkdir", errors=2, seconds=0.5, buckets=(4, 3, *(0,) * (BUCKETS - 3), 1)),),
    cache_hits=10, cache_misses=1, workers=2, worker_deaths=3, recoveries=1, refused_requests=0, resends=2,
    descriptors=9, kept_inodes=1, passthrough=True, open_files=4, backing_ids=3,
)  # fmt: skip
EVERYTHING = NumbersReply(
    shares=(
        ShareNumbers(
            share="a", health=HandleHealth(status="ok", samples=3, canary_seconds=0.01), last=(CHECK,), drifts=1,
            checks=2, served=True, data=DATA,
            capacity=Capacity(bytes_total=9, bytes_free=8, bytes_available=7, inodes_total=6, inodes_free=5),
        ),
        ShareNumbers(share='b"\\\n', health=HandleHealth(), last=(), drifts=0, checks=0),
    ),
    bounds=BOUNDS,
    server=counters.parse(RPC, POOLS, CACHE),
    clients=ClientNumbers(by_status={"confirmed": 2}, held={"a": {"opens": 5, "locks": 1}, "": {"opens": 1}}),
    restarts={"nfsdcld": 1},
)  # fmt: skip


def values(numbers: NumbersReply = EVERYTHING) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(render(numbers).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_servers_counters_are_read() -> None:
    server = counters.parse(RPC, POOLS, CACHE)
    assert (server.threads, server.bytes_read, server.bytes_written, server.stale_handles) == (8, 4096, 8192, 2)
    assert (server.tcp_connections, server.calls, server.bad_calls) == (3, 705, 1)
    assert server.operations["3"] == {"null": 1, "getattr": 4, "lookup": 2, "read": 9}
    four = server.operations["4"]
    assert (four["access"], four["close"], four["getattr"], four["lookup"], four["open"]) == (11, 5, 300, 60, 6)
    assert (four["putfh"], four["read"], four["write"], four["sequence"], four["getxattr"]) == (400, 30, 44, 600, 7)
    assert four["removexattr"] == 1
    assert [(pool.pool, pool.packets, pool.sockets_queued) for pool in server.pools] == [(0, 700, 12), (1, 5, 6)]
    assert (server.reply_cache["entries"], server.reply_cache["hits"], server.reply_cache["not_cached"]) == (7, 3, 700)


def test_a_kernel_that_tells_less_is_no_failure() -> None:
    server = counters.parse("\nnet\nth x\nproc4ops 3 1\n", "#\n1 2\n", "odd\nnum entries: many\n")
    assert (server.threads, server.tcp_connections, server.operations["4"], server.pools) == (0, 0, {}, ())
    assert server.reply_cache == {}


def test_operations_are_histograms() -> None:
    found = values()
    labels = (("operation", "mkdir"), ("share", "a"))
    assert found["holdfast_operation_seconds_count", labels] == 8
    assert found["holdfast_operation_seconds_sum", labels] == 0.5
    assert found["holdfast_operation_errors_total", labels] == 2
    buckets = {
        dict(key[1])["le"]: value for key, value in found.items() if key[0] == "holdfast_operation_seconds_bucket"
    }
    assert list(buckets.values()) == [4, *[7] * (BUCKETS - 2), 8]
    assert [float(bound) for bound in buckets] == [*BOUNDS, float("inf")]


def test_what_is_told_of_shares_server_and_clients() -> None:
    found = values()
    assert found["holdfast_share_served", (("share", "a"),)] == 1
    assert found["holdfast_share_served", (("share", 'b"\\\n'),)] == 0
    assert found["holdfast_resends_total", (("share", "a"),)] == 2
    assert found["holdfast_passthrough", (("share", "a"),)] == 1
    assert found["holdfast_open_files", (("share", "a"),)] == 4
    assert found["holdfast_passthrough_files", (("share", "a"),)] == 3
    assert found["holdfast_source_available_bytes", (("share", "a"),)] == 7
    assert found["holdfast_nfsd_operations_total", (("operation", "read"), ("version", "4"))] == 30
    assert found["holdfast_nfs_clients", (("status", "confirmed"),)] == 2
    assert found["holdfast_nfs_client_states", (("kind", "opens"), ("share", "a"))] == 5
    assert found["holdfast_child_restarts_total", (("child", "nfsdcld"),)] == 1
    assert found["holdfast_nfsd_up", ()] == 1
    assert values(NumbersReply(shares=()))["holdfast_nfsd_up", ()] == 0


def test_dashboard_and_alerts_name_metrics_that_exist() -> None:
    there = {name for name, _ in values()}
    for name in ("grafana-dashboard.json", "alerts.yaml"):
        named = set(re.findall(r"\bholdfast_[a-z0-9_]+", (MONITORING / name).read_text()))
        assert len(named) > 8
        assert named - there == set(), name


def test_the_dashboard_is_one() -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) >= 12
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def test_every_alert_says_what_to_do() -> None:
    text = (MONITORING / "alerts.yaml").read_text()
    assert text.count("- alert:") == text.count("expr:") == text.count("summary:") == text.count("description:") >= 10
