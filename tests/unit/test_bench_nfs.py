"""What the comparison over NFS says of its measurements: bars, verdicts, tables and plots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.nfs.bars import bar, verdicts
from tests.bench.nfs.plans import PLANS
from tests.bench.nfs.report import Comparison, Report
from tests.bench.nfs.servers import GANESHA, NATIVE, OURS
from tests.bench.nfs.tables import causes, comparison, gaps, memory
from tests.bench.results import Measured, Results

_RATES = {NATIVE: (10.0, 12.0, 11.0), OURS: (9.3, 9.0, 11.0), "1 worker": (5.5, 5.5, 5.5), GANESHA: (8.8, 9.9, 7.7)}
_GAPS = {"worker": {"look": [0.5, 0.25, 1.0], "write": [0.1]}}


def _results(*rows: str) -> Results:
    measured = [
        Measured(number, server, "some", what, rates[number])
        for what in rows
        for number in range(3)
        for server, rates in _RATES.items()
    ]
    return Results(_RATES, measured)


def _report(*rows: str) -> Report:
    asked = {"create, /s": {"count": 10, "took": 2.0, "operations": {"lookup": [20, 0.5], "mknod": [10, 0.4]}}}
    counted = {"asked": asked, "memory": {"small": [[6144, 40960], [5120, 30720]]}}
    return Report({"kernel": "Linux"}, {"ext4": Comparison(_results(*rows), counted)}, _GAPS)


@pytest.mark.parametrize(
    ("what", "least"),
    [
        ("sequential read, 8 jobs, MiB/s", 0.95),
        ("4 KiB random write, O_DSYNC, /s", 0.9),
        ("delete, /s", 0.85),
        ("untar, entries/s", 0.85),
        ("find, cold, entries/s", 0.9),
        ("find, warm, entries/s", 0.95),
        ("stat, warm, /s", 0.95),
        ("sqlite, transactions/s", None),
    ],
)
def test_each_row_has_the_bar_that_was_set(what: str, least: float | None) -> None:
    assert bar(what) == least


def test_a_bar_is_judged_by_medians_and_the_peer_as_well() -> None:
    read, create, sqlite = verdicts(
        _results("sequential read, MiB/s", "create, /s", "sqlite, transactions/s"), OURS, GANESHA
    )
    assert (round(read.ratio, 3), read.bar, read.reached, read.ahead) == (0.845, 0.95, False, True)
    assert (create.bar, create.reached) == (0.85, True)  # 0.8455 is told as 0.85
    assert (sqlite.bar, sqlite.reached, sqlite.ahead) == (None, None, True)


def test_what_falls_short_is_said_in_the_table() -> None:
    lines = comparison(_results("sequential read, MiB/s", "sqlite, transactions/s"), OURS, GANESHA).splitlines()
    assert lines[0] == (
        "| what | native knfsd | Holdfast | bar | reached | nfs-ganesha | ahead of nfs-ganesha | 1 worker |"
    )
    assert lines[2].startswith("| sequential read, MiB/s | 11 (10 to 12) | 0.85 (0.82 to 1.00) | 0.95 | **no** |")
    assert lines[3].split(" | ")[3:5] == ["", ""]


def test_requests_are_told_for_one_thing_that_a_client_did() -> None:
    said = causes(_report("create, /s").comparisons["ext4"].counted["asked"]).splitlines()
    assert said[2] == "| create, /s | 200 | 3 | 45% | lookup 2 (50), mknod 1 (40) |"


def test_gaps_and_memory_tell_the_worst() -> None:
    said = gaps(_GAPS).splitlines()
    assert said[2:] == ["| worker | look | 3 | 0.50 | 1.00 |", "| worker | write | 1 | 0.10 | 0.10 |"]
    assert memory({"small": [[6144, 40960], [5120, 51200]]}).splitlines()[2] == "| small | 6.0 | 50.0 |"


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    _report("create, /s", "sqlite, transactions/s").write(tmp_path)
    document = json.loads((tmp_path / "nfs.json").read_text())
    assert len(document["comparisons"]["ext4"]["measured"]) == 2 * 3 * len(_RATES)
    assert [each["reached"] for each in document["comparisons"]["ext4"]["verdicts"]] == [True, None]
    assert document["gaps"] == _GAPS
    assert "## On ext4, 3 rounds" in (tmp_path / "nfs.md").read_text()
    for name in ("nfs-ext4.png", "nfs-ext4-variants.png", "nfs-gaps.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n")


def test_a_full_run_compares_all_that_was_promised() -> None:
    plan = PLANS["full"]
    assert set(plan.variants) == {"ext4", "xfs"}
    assert {variant.workers for variant in plan.variants["ext4"]} == {1, 2, 4}
    assert any(variant.other for variant in plan.variants["ext4"])
    assert {kill.split("=")[0] for kill in plan.kills} == {"nothing", "worker", "pool", "supervisor", "container"}
