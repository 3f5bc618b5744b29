"""`python -m tests.bench.workers` (as root): what 1, 2, 4 and 8 workers do a second, on fast and on slow storage.

Eight programs at once, without NFS. Storage is an ext4 on a loop image; slow is the same on a disk that takes its time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.slow_disk import slow_disk
from tests.support.children import Child
from tests.support.commands import run
from tests.support.daemon import daemon
from tests.support.janitor import Janitor, janitor
from tests.support.scratch import scratch_directory
from tests.support.witness import drop_caches

_PROGRAMS = 8
# Each look asks a worker; what was changed is on storage before it is answered, as in the appliance.
_OPTIONS = ("--timeout", "0", "--durable")
_IMAGE_BYTES = 1 << 30


@dataclass(frozen=True)
class Load:
    """What each of the programs does in a directory of its own, so many times."""

    name: str
    act: Callable[[Path], object]
    times: int
    cold: bool = False


def _stat(top: Path, times: int) -> None:
    for _ in range(times):
        os.stat(top / "0" / "file")


def _look(top: Path, times: int) -> None:
    """Each in a directory of its own, whose inode and entries are elsewhere on the disk."""
    for number in range(times):
        os.stat(top / f"{number}" / "file")


def _make(top: Path, times: int) -> None:
    for number in range(times):
        os.mknod(top / f"made-{os.getpid()}-{number}", 0o100600)


def loads(times: int) -> tuple[Load, ...]:
    """Return the loads, of which the slowest do something so many times."""
    return (
        Load("look at a file, in the server's cache", partial(_stat, times=times * 20), times * 20),
        Load("look at a file, on the disk", partial(_look, times=times), times, cold=True),
        Load("make a file, through to the disk", partial(_make, times=times), times),
    )


def _fill(source: Path, times: int) -> None:
    for program in range(_PROGRAMS):
        for number in range(times):
            place = source / f"{program}" / f"{number}"
            place.mkdir(parents=True)
            (place / "file").touch()


@contextmanager
def _storage(work: Path, milliseconds: int, times: int) -> Iterator[Path]:
    """Give a filled directory on a disk with such a delay, in milliseconds."""
    image, root = work / "image", work / "root"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    try:
        if not milliseconds:
            with _mounted(image, root, "loop,noatime", times) as source:
                yield source
        else:
            with slow_disk(image, milliseconds) as device, _mounted(device, root, "noatime", times) as source:
                yield source
    finally:
        root.rmdir()
        image.unlink()


@contextmanager
def _mounted(what: Path, root: Path, options: str, times: int) -> Iterator[Path]:
    # One block of inodes at a time: read-ahead would have most of them in the cache after the first.
    run("mount", "-o", f"{options},inode_readahead_blks=1", what, root)
    try:
        (root / "source").mkdir()
        _fill(root / "source", times)
        os.sync()
        yield root / "source"
    finally:
        run("umount", root)


def _a_second(mountpoint: Path, load: Load) -> float:
    """Return how many operations all programs do together in a second."""
    if load.cold:
        drop_caches()
    begun = time.monotonic()
    programs = [Child(partial(load.act, mountpoint / f"{number}")) for number in range(_PROGRAMS)]
    for program in programs:
        program.result()
    return load.times * _PROGRAMS / (time.monotonic() - begun)


Rates = dict[tuple[str, int], list[float]]


def measure(work: Path, watch: Janitor, milliseconds: int, workers: list[int], times: int, rounds: int) -> Rates:
    """Return the operations a second of each load with each number of workers, of each round."""
    found: Rates = {}
    with _storage(work, milliseconds, times) as source:
        for _ in range(rounds):
            for count in workers:
                with daemon(source, work / "mount", work / "log", watch, *_OPTIONS, workers=count) as mount:
                    for load in loads(times):
                        found.setdefault((load.name, count), []).append(_a_second(mount.mountpoint, load))
    return found


def _rows(found: Rates, milliseconds: int, workers: list[int]) -> Iterator[str]:
    for load in loads(1):
        rates = [statistics.median(found[load.name, count]) for count in workers]
        cells = (f"{rate:,.0f} ({rate / rates[0]:.2f})" for rate in rates)
        yield f"| {load.name} | {milliseconds} ms | {' | '.join(cells)} |"


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.workers", description=__doc__)
    parser.add_argument("--workers", default="1,2,4,8", type=_numbers, metavar="N,...")
    delays = "of the disk, in milliseconds (default: 0,5,20)"
    parser.add_argument("--delays", default="0,5,20", type=_numbers, metavar="N,...", help=delays)
    parser.add_argument("--times", type=int, default=100, help="of what each of the eight programs does on the disk")
    parser.add_argument("--rounds", type=int, default=3, help="in turns, of which the median counts")
    arguments = parser.parse_args()
    heads = " | ".join(f"{count} workers" if count > 1 else "1 worker" for count in arguments.workers)
    print(f"Linux {os.uname().release}, {os.cpu_count()} processors\n")
    print(f"| what {_PROGRAMS} programs do | delay | {heads} |")
    print(f"|---|---|{'---|' * len(arguments.workers)}")
    with janitor() as watch, scratch_directory() as work:
        for delay in arguments.delays:
            found = measure(work, watch, delay, arguments.workers, arguments.times, arguments.rounds)
            for row in _rows(found, delay, arguments.workers):
                print(row, flush=True)


if __name__ == "__main__":
    main()
