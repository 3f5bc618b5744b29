"""`work.py WORKLOAD DIRECTORY SIZE TREE`: does one workload in a new directory, and prints its rates as JSON.

Nothing but Python's own library and the tools that do the work (fio, tar, find, du, git), so that it runs wherever the
directory is mounted, in the virtual machine as well. All numbers are rates: more is better.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

Rates = dict[str, float]


@dataclass(frozen=True)
class Size:
    """How much each workload does."""

    files: int
    megabytes: int
    seconds: int
    transactions: int


SIZES = {
    "smoke": Size(files=20, megabytes=2, seconds=1, transactions=5),
    "small": Size(files=100, megabytes=16, seconds=2, transactions=20),
    "full": Size(files=500, megabytes=128, seconds=8, transactions=100),
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


def rate(count: int, act: Callable[[], object]) -> float:
    """Return how many of `count` things are done in a second."""
    begun = time.perf_counter()
    act()
    return count / (time.perf_counter() - begun)


def each(act: Callable[[Path], object], paths: Iterable[Path]) -> Callable[[], None]:
    """Return what does one thing to each path."""

    def all_of_them() -> None:
        for path in paths:
            act(path)

    return all_of_them


def _fio(top: Path, size: Size, mode: str, block: str, *options: str) -> float:
    """Return MiB a second of a sequential job, operations a second of a random one."""
    said = run(
        "fio", "--output-format=json", "--name=job", f"--directory={top}", f"--rw={mode}", f"--bs={block}",
        f"--size={size.megabytes}m", "--ioengine=psync", "--group_reporting", *options,
    )  # fmt: skip
    # What warns comes before the document.
    job = json.loads(said[said.index("{") :])["jobs"][0]["read" if "read" in mode else "write"]
    return float(job["bw_bytes"] / (1 << 20) if block == "1m" else job["iops"])


def fio(top: Path, size: Size, _tree: Path) -> Rates:
    """Read and write one large file, and with eight jobs eight."""
    timed = ("--time_based", f"--runtime={size.seconds}")
    rates = {"sequential write, MiB/s": _fio(top, size, "write", "1m", "--end_fsync=1")}
    forget()
    rates["sequential read, MiB/s"] = _fio(top, size, "read", "1m")
    forget()
    rates["4 KiB random read, /s"] = _fio(top, size, "randread", "4k", *timed)
    rates["4 KiB random write, /s"] = _fio(top, size, "randwrite", "4k", "--end_fsync=1", *timed)
    rates["4 KiB random write, O_DSYNC, /s"] = _fio(top, size, "randwrite", "4k", "--sync=dsync", *timed)
    shared = f"--filename={top / 'job.0.0'}"
    forget()
    rates["4 KiB random read, 8 jobs, /s"] = _fio(top, size, "randread", "4k", "--numjobs=8", shared, *timed)
    rates["4 KiB random write, 8 jobs, /s"] = _fio(
        top, size, "randwrite", "4k", "--numjobs=8", "--end_fsync=1", shared, *timed
    )
    return rates


def _fill(path: Path) -> None:
    path.write_bytes(b"x" * 3000)


def small(top: Path, size: Size, _tree: Path) -> Rates:
    """Create, look at, read, rename and delete small files, one after the other."""
    paths = [top / f"file-{number}" for number in range(size.files)]
    renamed = [path.with_suffix(".new") for path in paths]
    rates = {"create, /s": rate(len(paths), each(_fill, paths))}
    forget()
    rates["stat, cold, /s"] = rate(len(paths), each(os.stat, paths))
    rates["stat, warm, /s"] = rate(10 * len(paths), each(os.stat, paths * 10))
    rates["read, /s"] = rate(len(paths), each(Path.read_bytes, paths))
    rates["rename, /s"] = rate(len(paths), each(lambda path: path.rename(path.with_suffix(".new")), paths))
    rates["delete, /s"] = rate(len(paths), each(os.unlink, renamed))
    return rates


def tree(top: Path, _size: Size, archive: Path) -> Rates:
    """Unpack a source tree, walk it with find and du, remove it; in files and directories a second."""
    begun = time.perf_counter()
    run("tar", "-xf", archive, "-C", top)
    took = time.perf_counter() - begun
    count = len(run("find", top).splitlines())
    rates = {"untar, entries/s": count / took}
    forget()
    rates["find, cold, entries/s"] = rate(count, lambda: run("find", top, "-newermt", "2100-01-01"))
    rates["find, warm, entries/s"] = rate(count, lambda: run("find", top, "-newermt", "2100-01-01"))
    rates["du, warm, entries/s"] = rate(count, lambda: run("du", "-s", top))
    rates["rm -r, entries/s"] = rate(count, lambda: run("rm", "-r", *top.iterdir()))
    return rates


def sqlite(top: Path, size: Size, _tree: Path) -> Rates:
    """Insert one row a transaction, with a rollback journal, as sqlite does it by default."""
    database = sqlite3.connect(top / "database", isolation_level=None)
    database.execute("create table entries (number integer primary key, text text)")

    def insert() -> None:
        for number in range(size.transactions):
            database.execute("insert into entries values (?, ?)", (number, "x" * 100))

    rates = {"sqlite, transactions/s": rate(size.transactions, insert)}
    (found,) = database.execute("select count(*) from entries").fetchone()
    database.close()
    if found != size.transactions:
        raise SystemExit(f"sqlite has {found} rows of {size.transactions}")
    return rates


def parallel(top: Path, size: Size, _tree: Path) -> Rates:
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

    return {"4 clients create and delete, files/s": rate(4 * size.files, crowd)}


WORKLOADS = {"fio": fio, "small": small, "tree": tree, "sqlite": sqlite, "parallel": parallel}


def main() -> None:
    """Do one, clean up, print."""
    workload, directory, size, archive = sys.argv[1:]
    top = Path(directory) / f"bench-{os.getpid()}"
    top.mkdir()
    try:
        rates = WORKLOADS[workload](top, SIZES[size], Path(archive))
    finally:
        shutil.rmtree(top)
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
