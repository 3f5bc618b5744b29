"""What is compared on this machine's own kernel: a plain directory, and Holdfast's mount of one beside it.

Both are on one disk. A daemon is there only for the time of its own work: it hears of every change of the filesystem
(fanotify), its neighbours' as well, and these would pay for it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.rounds import Work
from tests.support.commands import run
from tests.support.daemon import daemon
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor

WORK = Path(__file__).parent / "inside" / "work.py"
PLAIN = "plain directory"
_SECONDS = 1800.0


def rates(directory: Path, workload: str, size: str, archive: Path) -> dict[str, float]:
    """Have a workload done in a directory by a process of its own, which holds no files there when it is over."""
    said = run(sys.executable, WORK, workload, directory, size, archive, timeout=_SECONDS)
    found: dict[str, float] = json.loads(said)["rates"]
    return found


def plain(disk: Filesystem, size: str, archive: Path) -> Work:
    """Return what works on a directory of the disk without anything in between."""
    disk.plain.mkdir(exist_ok=True)
    return lambda workload: rates(disk.plain, workload, size, archive)


def holdfast(disk: Filesystem, watch: Janitor, size: str, archive: Path, workers: int) -> Work:
    """Return what works on Holdfast's mount of a directory of the disk; the workers read and write themselves."""
    place = disk.root.parent / f"mount-{workers}"

    def work(workload: str) -> dict[str, float]:
        log = place.with_suffix(".log")
        with daemon(disk.source, place, log, watch, "--no-passthrough", workers=workers) as running:
            return rates(running.mountpoint, workload, size, archive)

    return work
