"""The benchmark of inodes runs, in a small size; what it finds is judged by nobody."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.commands import run

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
