"""The benchmarks run, in a small size. Times are judged by nobody; counts of requests do not depend on the machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.bench import upcalls
from tests.support.commands import run
from tests.support.daemon import Daemon
from tests.support.registry import registry

pytestmark = pytest.mark.fuse


def test_the_benchmark_measures_every_size(tmp_path: Path) -> None:
    sizes = ("--kinds", "ext4,tmpfs", "--files", "1500,3000")
    said = run(sys.executable, "-m", "tests.bench.inodes", *sizes, "--results", tmp_path / "results")
    rows = json.loads((tmp_path / "results/inodes.json").read_text())["rows"]
    expected = [("ext4", 1_500), ("ext4", 3_000), ("tmpfs", 1_500), ("tmpfs", 3_000)]
    assert [(row["filesystem"], row["files"]) for row in rows] == expected
    assert all(row["cold_median_us"] > row["source_median_us"] > 0 for row in rows)
    assert [row["table_kib"] > 0 for row in rows] == [False, False, True, True]
    assert (tmp_path / "results/inodes.md").read_text() == said
    assert said.count("\n") == 6


def test_a_large_directory_is_measured() -> None:
    said = run(sys.executable, "-m", "tests.bench.directory", "--entries", "2000")
    assert said.startswith("ext4: 2,000 entries listed in ")


@pytest.mark.kinds("ext4")
def test_no_more_requests_than_needed(own_daemon: Daemon) -> None:
    upcalls.make_archive(own_daemon.mountpoint.parent / "tree.tar")
    with registry(own_daemon) as counts:
        found = {workload.name: (workload.times, ops) for workload, ops in upcalls.measure(own_daemon, counts)}
    times, created = found["create and close a file"]
    assert (created["create"], created["flush"]) == (times, 1)
    made = found["the same as knfsd does: mknod, chmod, open"][1]
    assert (made["mknod"], made["setattr"], made["open"]) == (times, times, times)
    again = found["the same at once again"][1]
    assert again["readdir"] > 10
    # A listing brings attributes. They are good for a second, which may pass on a busy machine.
    assert again["lookup"] + again["getattr"] < 1000


def test_local_changes_are_measured() -> None:
    said = run(sys.executable, "-m", "tests.bench.local_changes", "--times", "2")
    assert [line.split()[1] for line in said.splitlines()[4:]] == ["create", "write", "chmod", "rename", "delete"]


def test_the_mount_is_compared_with_the_plain_directory(tmp_path: Path) -> None:
    """All workloads but fio, a tool that the virtual machine has and this one may not have."""
    names = "small,tree,sqlite,parallel"
    said = run(
        sys.executable, "-m", "tests.bench.mount", "--size", "smoke", "--rounds", "2", "--workers", "2",
        "--workloads", names, "--results", tmp_path, timeout=600,
    )  # fmt: skip
    found = json.loads((tmp_path / "mount-ext4.json").read_text())
    assert found["reference"] == "plain directory"
    assert len(found["rows"]) == 13
    for summaries in found["rows"].values():
        assert list(summaries) == ["plain directory", "2 workers"]
        assert all(0 < each["least"] <= each["median"] <= each["most"] for each in summaries.values())
    assert {one["workload"] for one in found["measured"]} == set(names.split(","))
    assert len(found["measured"]) == 13 * 2 * 2
    assert (tmp_path / "mount-ext4.md").read_text() == said


def test_the_gap_at_a_workers_death_is_measured(tmp_path: Path) -> None:
    said = run(sys.executable, "-m", "tests.bench.gaps", "--times", "2", "--results", tmp_path)
    found = json.loads((tmp_path / "gaps.json").read_text())["seconds"]
    assert [(what, name) for what in found for name in found[what]] == [
        ("worker", "look"), ("worker", "write"), ("nothing", "look"), ("nothing", "write"),
    ]  # fmt: skip
    assert all(len(seconds) == 2 and min(seconds) > 0 for clients in found.values() for seconds in clients.values())
    assert said.count("longest gap median") == 4
