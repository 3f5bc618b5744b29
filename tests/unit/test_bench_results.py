"""What a comparison says of its measurements: medians, spread, ratios; nothing left out, rounds interleaved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.results import Measured, Results, Summary
from tests.bench.rounds import interleaved


def _results() -> Results:
    rates = {"plain": (10.0, 20.0, 40.0), "mount": (5.0, 15.0, 10.0)}
    measured = [
        Measured(number, server, "small", "create, /s", rates[server][number])
        for number in range(3)
        for server in rates
    ]  # fmt: skip
    return Results(rates, measured)


def test_medians_spread_and_ratios() -> None:
    assert _results().summary("create, /s", "mount") == Summary(median=10.0, least=5.0, most=15.0, ratio=0.5)


def test_the_table_compares_with_the_first_server() -> None:
    assert _results().table().splitlines() == [
        "| what | plain | mount |",
        "|---|---|---|",
        "| create, /s | 20 (10 to 40) | 0.50 (0.25 to 0.75) |",
    ]


def test_a_server_that_was_not_measured_is_no_empty_cell() -> None:
    with pytest.raises(LookupError, match="other was not measured at create"):
        Results(("plain", "other"), _results().measured).table()


def test_the_document_has_every_single_rate(tmp_path: Path) -> None:
    _results().write(tmp_path, "found")
    document = json.loads((tmp_path / "found.json").read_text())
    assert [one["rate"] for one in document["measured"]] == [10.0, 5.0, 20.0, 15.0, 40.0, 10.0]
    assert document["rows"]["create, /s"]["mount"]["ratio"] == 0.5


def test_no_round_is_begun_that_there_is_no_time_for() -> None:
    servers = {"a": lambda workload: {workload: 1.0}}
    assert [one.round for one in interleaved(servers, ("x",), 3, seconds=1e6)] == [0, 1, 2]
    assert [one.round for one in interleaved(servers, ("x",), 3, seconds=0)] == [0]


def test_rounds_are_interleaved_and_take_turns_in_being_first() -> None:
    servers = {name: lambda workload: {workload: 1.0} for name in "abc"}
    order = [f"{one.round}{one.workload}{one.server}" for one in interleaved(servers, ("x", "y"), 2)]
    assert order == ["0xa", "0xb", "0xc", "0ya", "0yb", "0yc", "1xb", "1xc", "1xa", "1yb", "1yc", "1ya"]
