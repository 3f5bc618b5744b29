"""`python -m tests.bench.local_changes` (as root): how soon a mount that believes for an hour shows a local change.

Looked at every millisecond. A change is noticed some 20 ms after it, since what happens meanwhile is told at once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.daemon import daemon
from tests.support.filesystems import KINDS, filesystem
from tests.support.janitor import janitor
from tests.support.scratch import scratch_directory
from tests.support.watching import prove_watching

_OPTIONS = ("--timeout", "3600", "--negative-timeout", "3600", "--watch")
_GIVE_UP_SECONDS = 30.0

Change = tuple[str, Callable[[], object], Callable[[], bool]]


def _changes(source: Path, mount: Path, number: int) -> Iterator[Change]:
    """Yield what is done to one file in its life, and how it is seen."""
    there, seen, moved = source / f"{number}", mount / f"{number}", mount / f"{number} moved"
    content = b"x" * (number + 1)
    yield "create", there.touch, seen.exists
    yield "write", lambda: there.write_bytes(content), lambda: seen.read_bytes() == content
    yield "chmod", lambda: there.chmod(0o600), lambda: seen.stat().st_mode & 0o777 == 0o600
    yield "rename", lambda: there.rename(source / moved.name), moved.exists
    yield "delete", (source / moved.name).unlink, lambda: not moved.exists()


def _seconds(change: Callable[[], object], seen: Callable[[], bool]) -> float:
    if seen():
        raise RuntimeError("it is seen before it is done")
    change()
    began = time.monotonic()
    while not seen():
        if time.monotonic() - began > _GIVE_UP_SECONDS:
            raise RuntimeError("it is not seen")
        time.sleep(0.001)
    return time.monotonic() - began


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.local_changes", description=__doc__)
    parser.add_argument("--filesystem", choices=KINDS, default="ext4")
    parser.add_argument("--times", type=int, default=100)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}
    with (
        janitor() as watch,
        scratch_directory() as work,
        filesystem(arguments.filesystem, work) as disk,
        daemon(disk.source, work / "mount", work / "log", watch, *_OPTIONS) as mount,
    ):
        prove_watching(mount)
        for number in range(arguments.times):
            for name, change, seen in _changes(disk.source, mount.mountpoint, number):
                found.setdefault(name, []).append(_seconds(change, seen) * 1000)
    print(f"{arguments.filesystem}, Linux {os.uname().release}, each {arguments.times} times, milliseconds:\n")
    print("| change | median | 99 % | worst |\n|---|---|---|---|")
    for name, times in found.items():
        median, nearly_all = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(f"| {name} | {median:.0f} | {nearly_all:.0f} | {max(times):.0f} |")


if __name__ == "__main__":
    main()
