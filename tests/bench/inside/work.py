"""`work.py WORKLOAD[,...] DIRECTORY SIZE ARCHIVE`: does workloads in a new directory, and prints their rates as JSON.

Nothing but Python's own library and the tools that do the work (fio, tar, find, du, git), so that it runs wherever the
directory is mounted, in the virtual machine as well. All numbers are rates: more is better. With $BENCH_SHARE it also
tells what the workers of that share were asked meanwhile; the rates of such a run are not to be compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path


@dataclass(frozen=True)
class Size:
    """How much each workload does: small files, megabytes and random blocks of fio, with so many jobs."""

    files: int
    megabytes: int
    blocks: int
    transactions: int
    jobs: tuple[int, ...] = (1, 8)


SIZES = {
    "smoke": Size(files=6, megabytes=2, blocks=8, transactions=2, jobs=(1,)),
    "small": Size(files=100, megabytes=16, blocks=400, transactions=20),
    "emulated": Size(files=24, megabytes=16, blocks=160, transactions=10),
    "data": Size(files=1, megabytes=512, blocks=1600, transactions=1),
    "full": Size(files=500, megabytes=128, blocks=5000, transactions=100),
}


def run(*command: str | Path) -> str:
    """Run a tool and return what it printed; what it complains of comes with the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def forget() -> None:
    """Have the kernel forget what it has cached, client and server alike."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def each(act: Callable[[Path], object], paths: Iterable[Path]) -> Callable[[], None]:
    """Return what does one thing to each path."""

    def all_of_them() -> None:
        for path in paths:
            act(path)

    return all_of_them


Asked = dict[str, tuple[float, float]]
"""Of each kind of request: how many workers have served, and in how many seconds."""
_METRIC = re.compile(r'holdfast_operation_seconds_(count|sum)\{operation="(\w+)",share="([^"]+)"\} (\S+)')


def asked_of(share: str) -> Asked:
    """Return what the workers of a share have been asked since it was mounted, as the appliance's metrics tell."""
    request = urllib.request.Request(  # noqa: S310 - an address of the appliance
        f"{os.environ['HOLDFAST_URL']}/metrics", headers={"Authorization": f"Bearer {os.environ['HOLDFAST_TOKEN']}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        found = [each for each in _METRIC.findall(answer.read().decode()) if each[2] == share]
    numbers = {(operation, kind): float(number) for kind, operation, _, number in found}
    return {name: (numbers[name, "count"], numbers[name, "sum"]) for name in {name for name, _ in numbers}}


def _meanwhile(before: Asked, after: Asked) -> Asked:
    none = (0.0, 0.0)
    differences = {
        name: (count - before.get(name, none)[0], seconds - before.get(name, none)[1])
        for name, (count, seconds) in after.items()
    }
    return {name: both for name, both in differences.items() if both[0]}


def memory() -> list[list[int]]:
    """Return of each worker the memory that it shares with nobody, and all that it has in memory, in KiB."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "holdfast-worker\n":
                own = re.findall(r"^Private_\w+: +(\d+)", (process / "smaps_rollup").read_text(), re.MULTILINE)
                (resident,) = re.findall(r"^VmRSS:\s+(\d+)", (process / "status").read_text(), re.MULTILINE)
                found.append([sum(map(int, own)), int(resident)])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


class Rows:
    """What was measured: the rate of each thing, and what workers were asked for it, if somebody counts."""

    def __init__(self, count: Callable[[], Asked] | None = None) -> None:
        self.rates: dict[str, float] = {}
        self.asked: dict[str, dict[str, object]] = {}
        self._count = count

    def rate(self, what: str, count: float, act: Callable[[], object]) -> None:
        """Note how many of `count` things are done in a second."""
        before = self._count() if self._count else {}
        begun = time.perf_counter()
        act()
        took = time.perf_counter() - begun
        self.rates[what] = count / took
        if self._count:
            self.asked[what] = {"count": count, "took": took, "operations": _meanwhile(before, self._count())}

    def fio(self, what: str, top: Path, mode: str, block: str, *options: str) -> None:
        """Note MiB a second of a sequential job, operations a second of a random one, as fio tells them."""
        said: list[str] = []
        command = (
            "fio", "--output-format=json", "--name=job", f"--directory={top}", f"--rw={mode}", f"--bs={block}",
            "--ioengine=psync", "--group_reporting", "--thread", "--clocksource=clock_gettime", *options,
        )  # fmt: skip
        self.rate(what, 1, lambda: said.append(run(*command)))
        # What warns comes before the document.
        job = json.loads(said[0][said[0].index("{") :])["jobs"][0]["read" if "read" in mode else "write"]
        self.rates[what] = float(job["bw_bytes"] / (1 << 20) if block == "1m" else job["iops"])
        if what in self.asked:
            self.asked[what]["count"] = job["total_ios"]


def fio(rows: Rows, top: Path, size: Size, _tree: Path) -> None:
    """Read and write one large file, and with eight jobs a part of it each.

    Random jobs pass the client's cache by, or it would answer: each block is a request. What is written without sync
    goes through the cache and is waited for at the end. Nothing is timed: all servers do the same work.
    """
    for jobs in size.jobs:
        name = f", {jobs} jobs" if jobs > 1 else ""
        mine = max(size.megabytes // jobs, 1)
        all_of_it = (f"--size={mine}m", f"--numjobs={jobs}")
        blocks = (*all_of_it, f"--io_size={max(size.blocks // jobs, 1) * 4}k", "--randrepeat=1")
        rows.fio(f"sequential write{name}, MiB/s", top, "write", "1m", "--end_fsync=1", *all_of_it)
        rows.fio(f"sequential write, O_DSYNC{name}, MiB/s", top, "write", "1m", "--sync=dsync", *all_of_it)
        forget()
        rows.fio(f"sequential read{name}, MiB/s", top, "read", "1m", *all_of_it)
        forget()
        rows.fio(f"4 KiB random read{name}, /s", top, "randread", "4k", "--direct=1", *blocks)
        rows.fio(f"4 KiB random write{name}, /s", top, "randwrite", "4k", "--end_fsync=1", *blocks)
        rows.fio(f"4 KiB random write, O_DSYNC{name}, /s", top, "randwrite", "4k", "--sync=dsync", *blocks)
        each(os.unlink, sorted(top.iterdir()))()


def _fill(path: Path) -> None:
    path.write_bytes(b"x" * 3000)


def small(rows: Rows, top: Path, size: Size, _tree: Path) -> None:
    """Create, look at, read, rename and delete small files, one after the other."""
    paths = [top / f"file-{number}" for number in range(size.files)]
    renamed = [path.with_suffix(".new") for path in paths]
    rows.rate("create, /s", len(paths), each(_fill, paths))
    forget()
    rows.rate("stat, cold, /s", len(paths), each(os.stat, paths))
    rows.rate("stat, warm, /s", 10 * len(paths), each(os.stat, paths * 10))
    rows.rate("read, /s", len(paths), each(Path.read_bytes, paths))
    rows.rate("rename, /s", len(paths), each(lambda path: path.rename(path.with_suffix(".new")), paths))
    rows.rate("delete, /s", len(paths), each(os.unlink, renamed))


def _entries(archive: Path) -> int:
    return len(run("tar", "-tf", archive).splitlines())


def tree(rows: Rows, top: Path, _size: Size, archive: Path) -> None:
    """Unpack a source tree, walk it with find and du, remove it; in files and directories a second."""
    rows.rate("untar, entries/s", _entries(archive), lambda: run("tar", "-xf", archive, "-C", top))
    count = len(run("find", top).splitlines())
    forget()
    rows.rate("find, cold, entries/s", count, lambda: run("find", top, "-newermt", "2100-01-01"))
    rows.rate("find, warm, entries/s", count, lambda: run("find", top, "-newermt", "2100-01-01"))
    rows.rate("du, warm, entries/s", count, lambda: run("du", "-s", top))
    rows.rate("rm -r, entries/s", count, lambda: run("rm", "-r", *top.iterdir()))


def _repository(archive: Path) -> Path:
    """Return a repository with the archive's files, beside the archive; it is made once."""
    repository = archive.with_suffix(".git")
    if not repository.exists():
        files = archive.with_suffix(".files")
        files.mkdir()
        run("tar", "-xf", archive, "-C", files)
        git = ("git", "-C", files, "-c", "user.name=bench", "-c", "user.email=bench@localhost")
        run(*git, "init", "--quiet")
        run(*git, "add", "--all")
        run(*git, "commit", "--quiet", "--message=All")
        run("git", "clone", "--quiet", "--bare", files, repository)
        shutil.rmtree(files)
    return repository


def git(rows: Rows, top: Path, _size: Size, archive: Path) -> None:
    """Clone a repository and ask for its status; in files a second."""
    repository = _repository(archive)
    count = len(run("git", "-C", repository, "ls-tree", "-r", "--name-only", "HEAD").splitlines())
    clone = top / "clone"
    # Without the thirteen samples of hooks that would be half of the files.
    command = ("git", "clone", "--quiet", "--template=", repository, clone)
    rows.rate("git clone, files/s", count, lambda: run(*command))

    def status() -> None:
        if said := run("git", "-C", clone, "status", "--porcelain"):
            raise SystemExit(f"a fresh clone has changes:\n{said}")

    rows.rate("git status, files/s", count, status)
    forget()
    rows.rate("git status, cold, files/s", count, status)


def sqlite(rows: Rows, top: Path, size: Size, _tree: Path) -> None:
    """Insert one row a transaction, with a rollback journal, as sqlite does it by default."""
    database = sqlite3.connect(top / "database", isolation_level=None)
    database.execute("create table entries (number integer primary key, text text)")

    def insert() -> None:
        for number in range(size.transactions):
            database.execute("insert into entries values (?, ?)", (number, "x" * 100))

    rows.rate("sqlite, transactions/s", size.transactions, insert)
    (found,) = database.execute("select count(*) from entries").fetchone()
    database.close()
    if found != size.transactions:
        raise SystemExit(f"sqlite has {found} rows of {size.transactions}")


def parallel(rows: Rows, top: Path, size: Size, _tree: Path) -> None:
    """Create and delete small files in four directories at once."""

    def client(number: int) -> None:
        home = top / str(number)
        home.mkdir()
        paths = [home / str(file) for file in range(size.files)]
        each(_fill, paths)()
        each(os.unlink, paths)()

    def crowd() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(client, range(4)))

    rows.rate("4 clients create and delete, files/s", 4 * size.files, crowd)


WORKLOADS = {"fio": fio, "small": small, "tree": tree, "git": git, "sqlite": sqlite, "parallel": parallel}


def main() -> None:
    """Do them, clean up, print."""
    workloads, directory, size, archive = sys.argv[1:]
    share = os.environ.get("BENCH_SHARE")
    memories: dict[str, list[list[int]]] = {}
    rows = Rows(partial(asked_of, share) if share else None)
    for workload in workloads.split(","):
        top = Path(directory) / f"bench-{os.getpid()}"
        top.mkdir()
        try:
            WORKLOADS[workload](rows, top, SIZES[size], Path(archive))
        finally:
            shutil.rmtree(top)
        if share:
            memories[workload] = memory()
    print(json.dumps({"rates": rows.rates, "asked": rows.asked, "memory": memories}))


if __name__ == "__main__":
    main()
