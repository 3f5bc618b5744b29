"""`python -m tests.bench.gaps` (as root): how long programs on the mount wait when a worker is killed, without NFS.

On this machine's own kernel, at its own speed; over NFS, and for other processes, see tests/bench/nfs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench.inside.gaps import Client, clients, gap
from tests.bench.report import machine
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import filesystem
from tests.support.janitor import janitor
from tests.support.processes import alive, kill
from tests.support.scratch import scratch_directory


def _strike(running: Daemon, working: dict[str, Client], dice: random.Random) -> dict[str, float]:
    victim = dice.choice(running.full_pool())

    def restored() -> bool:
        return not alive(victim) and len(running.workers) == running.size

    return gap(working, partial(kill, victim), restored)


def _nothing(running: Daemon, working: dict[str, Client], dice: random.Random) -> dict[str, float]:
    return gap(working, partial(time.sleep, 0.1), lambda: True)


def measure(kind: str, times: int) -> dict[str, dict[str, list[float]]]:
    """Return the gaps of both clients, in seconds: when a worker is killed, and, as often, when nothing is."""
    found: dict[str, dict[str, list[float]]] = {}
    dice = random.Random(times)
    with ExitStack() as stack:
        watch = stack.enter_context(janitor())  # ends last: it removes what is left
        work = stack.enter_context(scratch_directory())
        disk = stack.enter_context(filesystem(kind, work))
        running = stack.enter_context(daemon(disk.source, work / "mount", work / "log", watch, "--durable"))
        running.log.announce("workers end as soon as they are started: killed by SIGKILL")
        working = stack.enter_context(clients(running.mountpoint))
        for _ in range(times):
            for what, act in (("worker", _strike), ("nothing", _nothing)):
                for name, seconds in act(running, working, dice).items():
                    found.setdefault(what, {}).setdefault(name, []).append(seconds)
    return found


def main() -> None:
    """Print median and worst, and write every single gap."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gaps", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--filesystem", choices=("ext4", "xfs", "btrfs"), default="ext4")
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIRECTORY")
    wanted = parser.parse_args()
    found = measure(wanted.filesystem, wanted.times)
    wanted.results.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "seconds": found}
    (wanted.results / "gaps.json").write_text(json.dumps(document, indent=1) + "\n")
    for what, gaps in found.items():
        for name, seconds in gaps.items():
            told = f"median {median(seconds) * 1000:.1f} ms, worst {max(seconds) * 1000:.1f} ms"
            print(f"{name}, {what} killed, {len(seconds)} times: longest gap {told}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
