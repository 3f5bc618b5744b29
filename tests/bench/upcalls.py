"""`python -m tests.bench.upcalls` (as root): how many requests reach a worker for what a program does on the mount.

Counted by the workers' own meters, once with the kernel reading and writing and once without. Counts depend on the
kernel and on what it has cached, not on the machine's speed, so they are the same on every run but for a few.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import newer_libfuse
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import filesystem
from tests.support.janitor import Janitor, janitor
from tests.support.registry import Registry, registry
from tests.support.scratch import scratch_directory
from tests.support.witness import drop_caches

_ENTRIES = 10_000
_TIMES = 100
_BLOCK = bytes(1 << 20)


@dataclass(frozen=True)
class Workload:
    """Something that a program does `times` times. `prepare` is not counted."""

    name: str
    times: int
    act: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda _: None


def _create(top: Path) -> None:
    for number in range(_TIMES):
        os.close(os.open(top / f"new-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _create_as_knfsd(top: Path) -> None:
    """MKNOD, SETATTR, OPEN, as knfsd does it."""
    for number in range(_TIMES):
        os.mknod(top / f"made-{number}", 0o100600)
        os.chmod(top / f"made-{number}", 0o644)
        os.close(os.open(top / f"made-{number}", os.O_RDWR))


def _write(top: Path) -> None:
    """Write, and look at the attributes as knfsd does for each answer."""
    file = os.open(top / "large", os.O_RDWR | os.O_CREAT)
    for number in range(_TIMES):
        os.pwrite(file, _BLOCK, number << 20)
        os.fstat(file)
    os.close(file)


def _read(top: Path) -> None:
    file = os.open(top / "large", os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # by read-ahead fewer and larger ones
    for number in range(_TIMES):
        os.pread(file, 1 << 20, number << 20)
    os.close(file)


def _known(top: Path) -> None:
    for _ in range(_TIMES):
        (top / "known").read_bytes()


def _list(top: Path) -> None:
    """Do what `ls -l` does."""
    with os.scandir(top / "many") as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)


def _many(top: Path) -> None:
    (top / "many").mkdir()
    for number in range(_ENTRIES):
        (top / "many" / f"entry-{number}").touch()
    drop_caches()


def _untar(top: Path) -> None:
    with tarfile.open(top.parent / "tree.tar") as tar:
        tar.extractall(top / "tree", filter="data")


WORKLOADS = (
    Workload("create and close a file", _TIMES, _create),
    Workload("the same as knfsd does: mknod, chmod, open", _TIMES, _create_as_knfsd),
    Workload("write 1 MiB and look at the attributes", _TIMES, _write),
    Workload("read 1 MiB that is not cached", _TIMES, _read, lambda _: drop_caches()),
    Workload("open, read and close a known file", _TIMES, _known, lambda top: (top / "known").write_bytes(b"x" * 3000)),
    Workload(f"list {_ENTRIES:,} entries with attributes, nothing cached", 1, _list, _many),
    Workload("the same at once again", 1, _list),
    Workload("unpack an archive, for each file in it", _TIMES, _untar),
    Workload("remove that tree, for each file in it", _TIMES, lambda top: shutil.rmtree(top / "tree")),
)


def make_archive(path: Path) -> None:
    """Make what a workload unpacks: a tree of small files, ten a directory."""
    tree = path.with_name("tree-source")
    for number in range(_TIMES):
        directory = tree / f"directory-{number // 10}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file-{number}").write_bytes(b"x" * 3000)
    with tarfile.open(path, "w") as tar:
        tar.add(tree, arcname=".")
    shutil.rmtree(tree)


def measure(mount: Daemon, counts: Registry) -> Iterator[tuple[Workload, Counter[str]]]:
    """Yield what each workload took."""
    for workload in WORKLOADS:
        workload.prepare(mount.mountpoint)
        before = counts.operations()
        workload.act(mount.mountpoint)
        os.statvfs(mount.mountpoint)  # RELEASEs are sent without waiting: after this one they have been counted
        yield workload, counts.operations() - before


@contextmanager
def _mounted(work: Path, watch: Janitor, python: str, *options: str) -> Iterator[tuple[Daemon, Registry]]:
    with (
        filesystem("ext4", work) as disk,
        daemon(disk.source, work / "mount", work / "log", watch, *options, workers=1, python=python) as mount,
        registry(mount) as counts,
    ):
        yield mount, counts


def _row(workload: Workload, found: Counter[str]) -> str:
    each = ", ".join(
        f"{verb} {count / workload.times:.4g}" for verb, count in found.most_common() if count * 50 >= workload.times
    )
    return f"| {workload.name} | {found.total() / workload.times:.4g} | {each} |"


def main() -> None:
    """Print a table for each of the two ways."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.upcalls", description=__doc__)
    parser.add_argument("--python", metavar="PROGRAM", help="runs the daemon (default: the image's Python and libfuse)")
    arguments = parser.parse_args()
    with janitor() as watch, scratch_directory() as work:
        python = arguments.python or str(newer_libfuse.install(_made(work / "newer")))
        for title, options in (("passthrough", ()), ("workers read and write", ("--no-passthrough",))):
            place = _made(work / title.partition(" ")[0])
            make_archive(place / "tree.tar")
            print(f"\n{title}:\n\n| what a program does | requests | of which |\n|---|---|---|")
            with _mounted(place, watch, python, *options) as (mount, counts):
                for workload, found in measure(mount, counts):
                    print(_row(workload, found), flush=True)


def _made(path: Path) -> Path:
    path.mkdir()
    return path


if __name__ == "__main__":
    main()
