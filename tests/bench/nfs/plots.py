"""The plots of a comparison over NFS: ratios to the kernel's own server, and the time without service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from tests.bench.nfs.bars import bar
from tests.bench.results import Results

_COLOURS = ("#1f6fb4", "#d95f02", "#7a9e3f", "#9467bd", "#8c8c8c", "#17a0a8")
_DPI = 90


def ratios(results: Results, servers: Sequence[str], title: str, path: Path) -> None:
    """Draw each row's ratio to the reference for these servers, with its spread, and the row's bar."""
    rows = results.rows[::-1]
    height = 0.8 / len(servers)
    figure = Figure(figsize=(9, 1.2 + 0.36 * len(rows)))
    axes = figure.subplots()
    for number, server in enumerate(servers):
        places = [place + 0.4 - (number + 0.5) * height for place in range(len(rows))]
        found = [results.summary(what, server) for what in rows]
        references = [results.summary(what, results.servers[0]).median for what in rows]
        values = [one.ratio for one in found]
        pairs = list(zip(found, references, strict=True))
        spread = [
            [one.ratio - one.least / reference for one, reference in pairs],
            [one.most / reference - one.ratio for one, reference in pairs],
        ]
        axes.barh(places, values, height, xerr=spread, label=server, color=_COLOURS[number], error_kw={"lw": 0.7})
    for place, what in enumerate(rows):
        if (least := bar(what)) is not None:
            axes.plot([least, least], [place - 0.42, place + 0.42], color="black", lw=1.2)
    axes.axvline(1, color="grey", lw=0.8, ls=":")
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlim(0, 2)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(f"ratio to {results.servers[0]} in the same run (cut off at 2); black: the bar", fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8, loc="lower right")
    _write(figure, path)


def gaps(found: Mapping[str, Mapping[str, Sequence[float]]], title: str, path: Path) -> None:
    """Draw every gap of both clients at each kind of blow, and the medians."""
    figure = Figure(figsize=(7, 3))
    axes = figure.subplots()
    for place, clients in enumerate(found.values()):
        for number, (name, seconds) in enumerate(clients.items()):
            at = place + (number - 0.5) * 0.3
            axes.plot([at] * len(seconds), seconds, "o", ms=4, alpha=0.6, color=_COLOURS[number],
                      label=name if place == 0 else None)  # fmt: skip
            axes.plot([at - 0.1, at + 0.1], [median(seconds)] * 2, color="black", lw=1)
    axes.set_yscale("log")
    axes.set_xticks(range(len(found)), list(found), fontsize=8)
    axes.set_ylabel("longest gap, s", fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    # No time of making inside: the same numbers give the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
