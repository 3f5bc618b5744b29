"""The tables of a comparison over NFS, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from tests.bench.nfs.bars import Verdict, verdicts
from tests.bench.results import Results, Summary


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([_row(heads), f"|{'---|' * len(heads)}", *map(_row, rows)]) + "\n"


def _ratio(results: Results, what: str, server: str) -> str:
    each, reference = results.summary(what, server), results.summary(what, results.servers[0])
    if len(results.rates(what, server)) == 1:
        return f"{each.ratio:.2f}"
    return f"{each.ratio:.2f} ({each.least / reference.median:.2f} to {each.most / reference.median:.2f})"


def _rate(summary: Summary) -> str:
    return f"{summary.median:,.3g} ({summary.least:,.3g} to {summary.most:,.3g})"


def _yes(said: bool | None) -> str:
    return "" if said is None else "yes" if said else "**no**"


def comparison(results: Results, ours: str, peer: str) -> str:
    """Return rates of the reference, ratios of all others to it (least to most), and what is reached."""
    others = [server for server in results.servers[1:] if server not in (ours, peer)]
    heads = ["what", results.servers[0], ours, "bar", "reached", peer, f"ahead of {peer}", *others]

    def cells(verdict: Verdict) -> list[str]:
        what = verdict.what
        return [
            what, _rate(results.summary(what, results.servers[0])), _ratio(results, what, ours),
            "" if verdict.bar is None else f"{verdict.bar}", _yes(verdict.reached), _ratio(results, what, peer),
            _yes(verdict.ahead), *(_ratio(results, what, server) for server in others),
        ]  # fmt: skip

    return _table(heads, [cells(verdict) for verdict in verdicts(results, ours, peer)])


def causes(asked: Mapping[str, Mapping[str, object]]) -> str:
    """Return what workers were asked for one of each thing that a client did, and what of its time they took."""
    rows = []
    for what, found in asked.items():
        operations, count, took = found["operations"], found["count"], found["took"]
        assert isinstance(operations, dict)
        assert isinstance(count, (int, float))
        assert isinstance(took, float)
        requests = sum(number for number, _ in operations.values())
        seconds = sum(spent for _, spent in operations.values())
        most = sorted(operations.items(), key=lambda item: -item[1][1])[:5]
        named = (f"{name} {number / count:.2g} ({spent / count * 1000:.2g})" for name, (number, spent) in most)
        each = [f"{took / count * 1000:.3g}", f"{requests / count:.2g}", f"{seconds / took:.0%}"]
        rows.append([what, *each, ", ".join(named)])
    longest = "those that took longest: how many (together, ms)"
    return _table(["what", "one takes, ms", "requests to workers", "of its time", longest], rows)


def gaps(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return how long clients waited at each kind of blow, in seconds."""
    rows = [
        [what, name, str(len(seconds)), f"{median(seconds):.2f}", f"{max(seconds):.2f}"]
        for what, clients in found.items()
        for name, seconds in clients.items()
    ]
    return _table(["killed", "client", "times", "median, s", "worst, s"], rows)


def memory(found: Mapping[str, Sequence[Sequence[int]]]) -> str:
    """Return the most that any worker had after each workload, in MiB."""
    rows = [
        [workload, *(f"{max(each[kind] for each in workers) / 1024:.1f}" for kind in (0, 1))]
        for workload, workers in found.items()
    ]
    return _table(["after", "of its own, MiB", "with what it shares, MiB"], rows)
