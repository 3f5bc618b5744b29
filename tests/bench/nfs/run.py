"""One comparison from beginning to end, in a machine that is up."""

from __future__ import annotations

import json

from tests.bench.nfs.machine import Guest
from tests.bench.nfs.plans import Plan
from tests.bench.nfs.report import Comparison, Gaps, Report
from tests.bench.nfs.servers import Comparison as Servers
from tests.bench.nfs.servers import serving
from tests.bench.results import Results
from tests.bench.rounds import interleaved


def compare(guest: Guest, plan: Plan) -> Report:
    """Measure all of the plan. Raises BenchError if anything does not work."""
    comparisons = {}
    with serving(guest, plan.variants, plan.files):
        for kind, variants in plan.variants.items():
            servers = Servers(guest, kind, plan.work, variants)
            works = servers.works()
            measured = list(interleaved(works, plan.turns[kind], plan.rounds, plan.seconds[kind]))
            comparisons[kind] = Comparison(Results(works, measured), servers.counted(",".join(plan.counted)))
    gaps: Gaps = json.loads(guest.run(f"recovery {' '.join(plan.kills)}", timeout=3600).splitlines()[-1])
    return Report(_facts(guest), comparisons, gaps)


def _facts(guest: Guest) -> dict[str, str]:
    lines = guest.run("facts").splitlines()
    return dict(line.split(": ", 1) for line in lines)
