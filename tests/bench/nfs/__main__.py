"""`python -m tests.bench.nfs` (as root): Holdfast, the kernel's own NFS server and nfs-ganesha in one virtual machine.

Each kind of filesystem has one disk, on which each server has a directory; all are mounted by the same client in turns.
Writes nfs.json, nfs.md and plots.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from deploy.debian import install
from deploy.paths import state_root
from deploy.vm.appliance import PACKAGES
from tests.bench.nfs.machine import guest
from tests.bench.nfs.plans import PLANS
from tests.bench.nfs.run import compare


def main() -> None:
    """Measure, write, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.nfs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", choices=PLANS, default="full")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIRECTORY")
    wanted = parser.parse_args()
    plan = PLANS[wanted.size]
    install(PACKAGES)
    runs = state_root() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    # The disks' images are beside the machine's own: where room is, and not in memory.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=runs) as work, guest(plan.variants, Path(work)) as machine:
        report = compare(machine, plan)
    report.write(wanted.results)
    print(report.markdown(), end="")


if __name__ == "__main__":
    main()
