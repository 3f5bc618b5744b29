"""What a comparison found: each rate of each server in each round, as JSON for programs and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.bench.report import machine


@dataclass(frozen=True)
class Measured:
    """One rate (more is better) of one server in one round."""

    round: int
    server: str
    workload: str
    what: str
    rate: float


@dataclass(frozen=True)
class Summary:
    """A server's rates over all rounds, and their ratio to the reference's median in the same run."""

    median: float
    least: float
    most: float
    ratio: float


class Results:
    """All that was measured in one run. The first server is the one that the others are compared with."""

    def __init__(self, servers: Iterable[str], measured: Iterable[Measured]) -> None:
        self.servers = tuple(servers)
        self.measured = tuple(measured)

    @property
    def rows(self) -> tuple[str, ...]:
        """What was measured, in the order in which it was."""
        return tuple(dict.fromkeys(one.what for one in self.measured))

    def rates(self, what: str, server: str) -> list[float]:
        """Return a server's rates of one thing, one for each round. Raises LookupError if there is none."""
        if found := [one.rate for one in self.measured if (one.what, one.server) == (what, server)]:
            return found
        raise LookupError(f"{server} was not measured at {what}")

    def summary(self, what: str, server: str) -> Summary:
        """Return what came out for one thing and server. Raises LookupError if it was not measured."""
        rates = self.rates(what, server)
        reference = median(self.rates(what, self.servers[0]))
        return Summary(median(rates), min(rates), max(rates), median(rates) / reference)

    def table(self) -> str:
        """Return all in Markdown: the median of the reference, and for the others ratios with their spread."""
        lines = [f"| what | {' | '.join(self.servers)} |", "|---|" + "---|" * len(self.servers)]
        for what in self.rows:
            first, *others = (self.summary(what, server) for server in self.servers)
            cells = [f"{first.median:,.4g} ({first.least:,.4g} to {first.most:,.4g})"]
            cells += [
                f"{each.ratio:.2f} ({each.least / first.median:.2f} to {each.most / first.median:.2f})"
                for each in others
            ]
            lines.append(f"| {what} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def document(self) -> dict[str, object]:
        """Return all of it, to be written as JSON."""
        rows = {what: {server: asdict(self.summary(what, server)) for server in self.servers} for what in self.rows}
        measured = [asdict(one) for one in self.measured]
        return {"machine": machine(), "reference": self.servers[0], "rows": rows, "measured": measured}

    def write(self, directory: Path, name: str) -> None:
        """Write NAME.json and NAME.md."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_text(json.dumps(self.document(), indent=1) + "\n")
        (directory / f"{name}.md").write_text(self.table())
