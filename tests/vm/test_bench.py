"""The comparison with the kernel's own server and nfs-ganesha runs, in its smallest size. Nobody judges how fast."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.nfs.machine import Guest
from tests.bench.nfs.plans import PLANS
from tests.bench.nfs.run import compare
from tests.bench.nfs.servers import GANESHA, NATIVE, OURS
from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(2400)]

_ROWS = {"small": 6, "sqlite": 1}


@pytest.fixture
def guest(client: Client) -> Iterator[Guest]:
    """The machine, with two small disks for the time of the test."""
    kinds = tuple(PLANS["smoke"].variants)
    images = " ".join(f"/root/bench-{kind}.img" for kind in kinds)
    said = client.run(f"for i in {images}; do truncate --size=1G $i; losetup --find --show $i; done")
    devices = said.split()
    yield Guest.prepared(client.channel, dict(zip(kinds, devices, strict=True)))
    client.run(f"losetup --detach {' '.join(devices)}; rm -r {images} /root/bench")


def test_all_parts_of_the_comparison(guest: Guest, tmp_path: Path) -> None:
    plan = PLANS["smoke"]
    compare(guest, plan).write(tmp_path)
    found = json.loads((tmp_path / "nfs.json").read_text())
    assert list(found["comparisons"]) == list(plan.variants)
    for kind, comparison in found["comparisons"].items():
        workloads = ",".join(plan.turns[kind]).split(",")
        assert len(comparison["rows"]) == sum(_ROWS[workload] for workload in workloads)
        for what, servers in comparison["rows"].items():
            assert list(servers) == [NATIVE, OURS, GANESHA]
            assert all(each["median"] > 0 and each["ratio"] > 0 for each in servers.values()), what
        assert [each["what"] for each in comparison["verdicts"]] == list(comparison["rows"])
        assert len(comparison["counted"]["asked"]) == _ROWS["small"]
        assert all(kib > 0 for workers in comparison["counted"]["memory"].values() for both in workers for kib in both)
        assert (tmp_path / f"nfs-{kind}.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert list(found["gaps"]) == [kill.split("=")[0] for kill in plan.kills]
    for clients in found["gaps"].values():
        assert list(clients) == ["look", "write"]
        assert all(gap > 0 for gaps in clients.values() for gap in gaps)
    assert (tmp_path / "nfs-gaps.png").exists()
    said = (tmp_path / "nfs.md").read_text()
    head = "| what | native knfsd | Holdfast | bar | reached | nfs-ganesha | ahead of nfs-ganesha |"
    assert said.count(head) == len(plan.variants)
