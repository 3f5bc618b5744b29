"""`python -m tests.bench.mount` (as root): real tools on Holdfast's mount, and on the plain directory, without NFS.

One disk (a loop image), interleaved rounds; 1, 2 and 4 workers, which read and write themselves. The table has the
plain directory's median and, for the mounts, ratios to it. What is unpacked is the standard library of this Python.
"""

from __future__ import annotations

import argparse
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.debian import install
from tests.bench.inside.work import SIZES, WORKLOADS
from tests.bench.results import Results
from tests.bench.rounds import Work, interleaved
from tests.bench.servers import PLAIN, holdfast, plain
from tests.support.filesystems import filesystem
from tests.support.janitor import janitor
from tests.support.scratch import scratch_directory

ROUNDS = {"smoke": 1, "small": 3, "full": 7}
_FILES = {"smoke": 20, "small": 400, "full": 2000}
WORKERS = (1, 2, 4)


def make_archive(path: Path, files: int) -> None:
    """Pack the first files of Python's standard library, with their directories as they are."""
    top = Path(sysconfig.get_path("stdlib"))
    sources = sorted(top.rglob("*.py"))[:files]
    with tarfile.open(path, "w") as archive:
        for source in sources:
            archive.add(source, source.relative_to(top))


@contextmanager
def servers(kind: str, size: str, workers: Sequence[int]) -> Iterator[dict[str, Work]]:
    """Give what is compared, on one new filesystem of this kind; the first is the reference."""
    with janitor() as watch, scratch_directory() as work, filesystem(kind, work) as disk:
        archive = work / "tree.tar"
        make_archive(archive, _FILES[size])
        names = {count: f"{count} worker{'s' if count > 1 else ''}" for count in workers}
        mounts = {names[count]: holdfast(disk, watch, size, archive, count) for count in workers}
        yield {PLAIN: plain(disk, size, archive), **mounts}


def main() -> None:
    """Measure, print the table, write it and the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.mount", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--filesystem", choices=("ext4", "xfs", "btrfs"), default="ext4")
    parser.add_argument("--rounds", type=int, help="default: by the size")
    parser.add_argument("--workers", default=",".join(map(str, WORKERS)), metavar="N,...")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), metavar="NAME,...")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIRECTORY")
    wanted = parser.parse_args()
    workloads = wanted.workloads.split(",")
    install([tool for tool in ("fio", "git") if tool in workloads])
    with servers(wanted.filesystem, wanted.size, [int(count) for count in wanted.workers.split(",")]) as compared:
        measured = list(interleaved(compared, workloads, wanted.rounds or ROUNDS[wanted.size]))
    results = Results(compared, measured)
    results.write(wanted.results, f"mount-{wanted.filesystem}")
    print(results.table(), end="")


if __name__ == "__main__":
    main()
