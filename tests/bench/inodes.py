"""What inodes cost: a look-up of one that everybody has forgotten, and a worker's memory, as the tree grows.

    .venv/bin/python -m tests.bench.inodes [--kinds KIND,...] [--files N,...] [--results DIRECTORY]

For each kind of filesystem one daemon with two workers serves a tree that grows from each size to the next. At each
size every file is listed and looked at by way of the mount, so that workers have seen them all. Then the kernel is made
to forget its inodes, and files chosen by chance are opened by handle one by one, each of which makes it ask LOOKUP(".")
of a worker that does not have the file open.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from appliance.fuse.codecs import choice
from appliance.linux import handles
from appliance.linux.handles import NativeHandle
from tests.bench.report import Row, markdown, write
from tests.support.children import in_child
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import KINDS, Filesystem, filesystem
from tests.support.janitor import janitor
from tests.support.posix.files import opened
from tests.support.processes import descriptor_count, own_kilobytes
from tests.support.scratch import scratch_directory
from tests.support.witness import drop_caches, opened_root

_EACH = 1000  # files of a directory
_SAMPLES = 2000
# A worker keeps descriptors of the 1024 nodes used last; what was sampled is older than that.
_OTHERS = 4 * 1024


def grow(top: Path, old: int, new: int) -> None:
    """Make the files from number `old` to number `new`, behind the mount."""
    for place, numbers in groupby(range(old, new), lambda number: number // _EACH):
        directory = top / str(place)
        directory.mkdir(exist_ok=True)
        with opened(bytes(directory), os.O_RDONLY) as at:
            for number in numbers:
                os.mknod(str(number), 0o600, dir_fd=at)


def visit(top: Path) -> int:
    """List every directory and look at every file; return how many there are."""
    seen = 0
    for directory in os.listdir(top):
        with opened(bytes(top / directory), os.O_RDONLY) as at:
            for name in os.listdir(at):
                os.stat(name, dir_fd=at)
                seen += 1
    return seen


def _take(root: int, numbers: list[int]) -> list[NativeHandle]:
    return [handles.name_to_handle(root, b"%d/%d" % (number // _EACH, number), 0) for number in numbers]


def cold_lookups(top: Path, numbers: list[int], others: list[int]) -> list[float]:
    """Return how long each file takes to open by handle when the kernel knows none of them, in microseconds."""
    with opened_root(top) as root:
        known = _take(root, numbers)
        for number in others:
            os.stat(f"{number // _EACH}/{number}", dir_fd=root)
        drop_caches()
        return list(_timed(root, known))


def _timed(root: int, known: list[NativeHandle]) -> Iterator[float]:
    for handle in known:
        begun = time.perf_counter_ns()
        descriptor = handles.open_by_handle(root, handle, os.O_PATH)
        yield (time.perf_counter_ns() - begun) / 1000
        os.close(descriptor)


def measure(disk: Filesystem, running: Daemon, codec: str, files: int, table: Path) -> Row:
    """Measure the tree as it is."""
    dice = random.Random(files)
    top = running.mountpoint / "tree"
    begun = time.monotonic()
    # In children: what this process has seen of the mount must not be what keeps inodes known.
    seen = in_child(lambda: visit(top))
    per_second = files / (time.monotonic() - begun)
    assert seen == files, f"{seen} of {files} files are listed"
    drop_caches()
    numbers = dice.sample(range(files), min(_SAMPLES, files // 3))
    others = dice.sample(range(files), min(_OTHERS, files // 3))
    cold = in_child(lambda: cold_lookups(top, numbers, others))
    plain = in_child(lambda: cold_lookups(disk.source / "tree", numbers, others))
    assert isinstance(cold, list)
    assert isinstance(plain, list)
    workers = running.full_pool()
    return Row(
        filesystem=disk.kind,
        codec=codec,
        files=files,
        visit_per_second=round(per_second),
        cold_median_us=statistics.median(cold),
        cold_p99_us=statistics.quantiles(cold, n=100)[98],
        source_median_us=statistics.median(plain),
        worker_kib=max(map(own_kilobytes, workers)),
        worker_descriptors=max(map(descriptor_count, workers)),
        table_kib=sum(file.stat().st_size for file in table.parent.glob(f"{table.name}*")) // 1024,
    )


def run(kinds: list[str], sizes: list[int]) -> list[Row]:
    """Measure each size of each kind."""
    rows = []
    with ExitStack() as stack:
        watch = stack.enter_context(janitor())  # ends last: it removes what is left
        work = stack.enter_context(scratch_directory())
        for kind in kinds:
            with filesystem(kind, work) as disk:
                (disk.source / "tree").mkdir()
                with opened(bytes(disk.source), os.O_RDONLY) as source:
                    codec = str(choice.probe(source).kind)
                mountpoint = work / f"{kind}.mount"
                with daemon(disk.source, mountpoint, work / f"{kind}.log", watch) as running:
                    for old, new in zip([0, *sizes], sizes, strict=False):
                        grow(disk.source / "tree", old, new)
                        table = mountpoint.with_name(f"{mountpoint.name}.state") / "handles.db"
                        rows.append(measure(disk, running, codec, new, table))
                        print(markdown(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure, print the table, and write it to the results directory."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.inodes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", default="ext4,xfs,btrfs,tmpfs", help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--files", default="10000,100000,1000000", help="sizes of the tree, each above the one before")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where inodes.json and inodes.md go")
    wanted = parser.parse_args()
    rows = run(wanted.kinds.split(","), [int(size) for size in wanted.files.split(",")])
    write(wanted.results, rows)
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
