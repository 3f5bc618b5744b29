"""How much of the kernel server's own speed each row shall reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.results import Results

# The first that a row's name begins with counts. No bar is set for what is not listed, but nfs-ganesha.
_BARS = (
    ("sequential", 0.95),
    ("4 KiB random", 0.9),
    ("stat, warm", 0.95),
    ("create", 0.85),
    ("stat, cold", 0.85),
    ("read", 0.85),
    ("rename", 0.85),
    ("delete", 0.85),
    ("untar", 0.85),
    ("rm -r", 0.85),
    ("4 clients", 0.85),
    ("git clone", 0.85),
    ("find, cold", 0.9),
    ("find, warm", 0.95),
    ("du, warm", 0.95),
    ("git status, files", 0.95),
)


def bar(what: str) -> float | None:
    """Return the least ratio to the kernel's own server that a row shall reach, None if there is none."""
    return next((least for start, least in _BARS if what.startswith(start)), None)


@dataclass(frozen=True)
class Verdict:
    """What came out in one row for the appliance as it is by default; ratios are to the kernel's own server."""

    what: str
    bar: float | None
    ratio: float
    peer: float

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached, to the two digits that are told; None if there is none."""
        return None if self.bar is None else round(self.ratio, 2) >= self.bar

    @property
    def ahead(self) -> bool:
        """Whether the peer is not faster."""
        return self.ratio >= self.peer


def verdicts(results: Results, ours: str, peer: str) -> list[Verdict]:
    """Return the verdict of each row. Raises LookupError if one of the two was not measured."""
    return [
        Verdict(what, bar(what), results.summary(what, ours).ratio, results.summary(what, peer).ratio)
        for what in results.rows
    ]
