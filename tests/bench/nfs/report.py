"""What a comparison over NFS has found, whole: as JSON, as tables, as plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.nfs import plots, tables
from tests.bench.nfs.bars import verdicts
from tests.bench.nfs.servers import GANESHA, OURS
from tests.bench.results import Results

_HEAD = """# Over NFS: what a run of `make bench` found

How it measures, and what it does not tell: [benchmarks.md](benchmarks.md). Ratios are to the kernel's own server in the
same run; in brackets the least and the most of all rounds.
"""
Gaps = Mapping[str, Mapping[str, list[float]]]


@dataclass(frozen=True)
class Comparison:
    """What came out on one filesystem: rates, and what a pass in which workers were counted told."""

    results: Results
    counted: Mapping[str, Any]

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        told = [{**asdict(each), "reached": each.reached, "ahead": each.ahead} for each in self.verdicts]
        return {**self.results.document(), "verdicts": told, "counted": self.counted}

    @property
    def verdicts(self) -> list[Any]:
        """What is reached."""
        return verdicts(self.results, OURS, GANESHA)


@dataclass(frozen=True)
class Report:
    """All of a run. `facts` say where it was made."""

    facts: Mapping[str, str]
    comparisons: Mapping[str, Comparison]
    gaps: Gaps

    def write(self, directory: Path) -> None:
        """Write nfs.json, nfs.md and plots: nfs-KIND.png, nfs-KIND-variants.png if there are any, nfs-gaps.png."""
        directory.mkdir(parents=True, exist_ok=True)
        document = {
            "facts": self.facts, "gaps": self.gaps,
            "comparisons": {kind: each.document() for kind, each in self.comparisons.items()},
        }  # fmt: skip
        (directory / "nfs.json").write_text(json.dumps(document, indent=1) + "\n")
        (directory / "nfs.md").write_text(self.markdown())
        for kind, each in self.comparisons.items():
            title = f"Over NFS, on {kind}"
            plots.ratios(each.results, (OURS, GANESHA), title, directory / f"nfs-{kind}.png")
            if variants := [server for server in each.results.servers[1:] if server != GANESHA][1:]:
                plots.ratios(each.results, (OURS, *variants), title, directory / f"nfs-{kind}-variants.png")
        plots.gaps(self.gaps, "Without service, over NFS, in the emulated machine", directory / "nfs-gaps.png")

    def markdown(self) -> str:
        """Return all tables."""
        parts = [_HEAD, "".join(f"- {name}: {fact}\n" for name, fact in self.facts.items())]
        for kind, each in self.comparisons.items():
            rounds = 1 + max(one.round for one in each.results.measured)
            table = tables.comparison(each.results, OURS, GANESHA)
            parts.append(f"## On {kind}, {rounds} round{'s' if rounds > 1 else ''}\n\n{table}")
            parts.append(f"What workers were asked, on {kind}:\n\n{tables.causes(each.counted['asked'])}")
            parts.append(f"Memory of a worker, on {kind}:\n\n{tables.memory(each.counted['memory'])}")
        parts.append(f"## Without service\n\n{tables.gaps(self.gaps)}")
        return "\n".join(parts)
