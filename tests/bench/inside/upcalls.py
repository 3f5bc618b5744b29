"""How many FUSE requests an NFS client's operations cost: done by real programs in the machine, told as JSON lines.

Usage: upcalls.py MOUNT SOURCE ENTRIES. Runs in the virtual machine with Python's own library; $HOLDFAST_URL and
$HOLDFAST_TOKEN are the API's, whose share "share" has its source at SOURCE and is mounted at MOUNT. The numbers are
those of the workers' own meters; what else is told is the kernel's trace (see tests.bench.upcalls_trace).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_FILES = 50
_MEBIBYTES = 20
_BLOCK = bytes(1 << 20)
_TRACING = Path("/sys/kernel/tracing")
_EVENTS = ("nfsd/nfsd_compound_status", "fuse/fuse_request_send")
_BUFFER_KIB = 65_536
_TREE = Path("/root/tree")
_ARCHIVE = Path("/root/tree.tar")
_COUNT = re.compile(r'^holdfast_operation_seconds_count\{operation="(\w+)",share="share"\} ([\d.e+]+)$', re.MULTILINE)


def run(*command: str | Path) -> None:
    """Run a program, which must succeed and whose output nobody reads."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def counts() -> Counter[str]:
    """Return what workers have been asked since the share was mounted."""
    token = f"Authorization: Bearer {os.environ['HOLDFAST_TOKEN']}"
    url = f"{os.environ['HOLDFAST_URL']}/metrics"
    said = subprocess.check_output(["curl", "--silent", "--fail", "--header", token, url], text=True)
    return Counter({name: int(float(number)) for name, number in _COUNT.findall(said)})


def begin_trace() -> None:
    """Have the kernel trace from now on, with stacks."""
    (_TRACING / "buffer_size_kb").write_text(str(_BUFFER_KIB))
    for event in _EVENTS:
        (_TRACING / "events" / event / "enable").write_text("1")
    trigger = _TRACING / "events/fuse/fuse_request_send/trigger"
    if not any(line.startswith("stacktrace") for line in trigger.read_text().splitlines()):
        trigger.write_text("stacktrace")
    (_TRACING / "trace").write_text("")
    (_TRACING / "tracing_on").write_text("1")


def end_trace() -> str:
    """Return the trace."""
    (_TRACING / "tracing_on").write_text("0")
    text = (_TRACING / "trace").read_text()
    written = re.search(r"entries-in-buffer/entries-written: (\d+)/(\d+)", text)
    if not written or written[1] != written[2]:
        raise RuntimeError("the kernel's trace buffer was too small")
    return text


@dataclass(frozen=True)
class Workload:
    """Something that a client does `times` times. `prepare` is not counted."""

    name: str
    times: int
    act: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


class Client:
    """The mount, and what is done there."""

    def __init__(self, mount: Path, source: Path, entries: int) -> None:
        self.mount = mount
        self.source = source
        self.entries = entries
        self.device = subprocess.check_output(["findmnt", "-no", "SOURCE", mount], text=True).strip()
        self.open: int = -1

    def workloads(self) -> tuple[Workload, ...]:
        """Return them in the order in which they have to be done."""
        made, known, many = self.mount / "made", self.mount / "known", self.mount / "many"
        clone, tree = self.mount / "clone", self.mount / "tree"
        size = f"{self.entries:,} entries"
        list_, clone_ = ("ls", "-l", many), ("git", "clone", "-q", "--no-local", _TREE, clone)
        return (
            Workload("create and close a file", _FILES, lambda: self.create(made), made.mkdir),
            Workload("look at a known file, not cached by the client", _FILES, lambda: self.stat(made), self.forget),
            Workload("rename a file", _FILES, lambda: self.rename(made)),
            Workload("remove a file", _FILES, lambda: self.unlink(made)),
            Workload("write 1 MiB and fsync", _MEBIBYTES, self.write, self.begin_to_write),
            Workload("read 1 MiB that is not cached", _MEBIBYTES, self.read, lambda: self.drop("1")),
            Workload("open, read and close a known file, the first time", _FILES, lambda: self.read_all(known),
                     lambda: self.make(known)),
            Workload("the same at once again", _FILES, lambda: self.read_all(known)),
            Workload(f"ls -l of {size}, nothing cached", 1, lambda: run(*list_), lambda: self.make_many(many)),
            Workload("the same, cached by the server only", 1, lambda: run(*list_), self.forget),
            Workload("the same at once again", 1, lambda: run(*list_)),
            Workload("tar -x, for each of the files", _FILES, lambda: run("tar", "-xf", _ARCHIVE, "-C", self.mount)),
            Workload("du of that tree, not cached by the client", _FILES, lambda: run("du", "-s", tree), self.forget),
            Workload("rm -r of that tree", _FILES, lambda: run("rm", "-r", tree)),
            Workload("git clone of it", _FILES, lambda: run(*clone_)),
            Workload("git status", _FILES, lambda: run("git", "-C", clone, "status")),
        )  # fmt: skip

    def forget(self) -> None:
        """Have the client forget everything; what the server knows it goes on to know."""
        run("umount", self.mount)
        run("mount", "-t", "nfs4", "-o", "vers=4.2", self.device, self.mount)

    @staticmethod
    def drop(what: str) -> None:
        """Have the kernel forget pages (1) or inodes (2), the client's as well as the server's: it is one machine."""
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text(what)

    def create(self, top: Path) -> None:
        """What open(2) with O_CREAT and O_EXCL does, and close(2)."""
        for number in range(_FILES):
            os.close(os.open(top / f"{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def stat(self, top: Path) -> None:
        """Look at each file."""
        for number in range(_FILES):
            os.stat(top / f"{number}")

    def rename(self, top: Path) -> None:
        """To a name that there was not."""
        for number in range(_FILES):
            os.rename(top / f"{number}", top / f"{number} moved")

    def unlink(self, top: Path) -> None:
        """Remove each file."""
        for number in range(_FILES):
            os.unlink(top / f"{number} moved")

    def begin_to_write(self) -> None:
        """Open a file for reading and writing."""
        self.open = os.open(self.mount / "large", os.O_CREAT | os.O_RDWR)

    def write(self) -> None:
        """Write, through to storage."""
        for number in range(_MEBIBYTES):
            os.pwrite(self.open, _BLOCK, number << 20)
            os.fsync(self.open)

    def read(self) -> None:
        """Read it."""
        for number in range(_MEBIBYTES):
            os.pread(self.open, 1 << 20, number << 20)
        os.close(self.open)

    def make(self, top: Path) -> None:
        """Make small files which the server knows and the client does not."""
        top.mkdir()
        for number in range(_FILES):
            (top / f"{number}").write_bytes(_BLOCK[:3000])
        self.forget()

    def read_all(self, top: Path) -> None:
        """Read each file."""
        for number in range(_FILES):
            (top / f"{number}").read_bytes()

    def make_many(self, top: Path) -> None:
        """Make a large directory behind the share, and have everybody forget."""
        top.mkdir()
        for number in range(self.entries):
            (self.source / top.name / f"entry-{number}").touch()
        self.drop("2")


def make_tree() -> None:
    """Make what is unpacked and cloned: a tree of small files, ten a directory."""
    if _ARCHIVE.exists():
        return
    for number in range(_FILES):
        directory = _TREE / f"directory-{number // 10}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file-{number}").write_bytes(b"%d" % number * 1000)
    run("tar", "-cf", _ARCHIVE, "-C", _TREE.parent, _TREE.name)
    git = ("git", "-C", _TREE, "-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "tree")):
        run(*git, *command)


def measured(workload: Workload) -> dict[str, object]:
    """Do it, and return what it took; counts are of all times together."""
    workload.prepare()
    os.sync()
    before = counts()
    begin_trace()
    began = time.monotonic()
    workload.act()
    seconds = time.monotonic() - began
    time.sleep(1)  # RELEASEs are sent without waiting
    trace = end_trace()
    served = counts() - before
    return {"name": workload.name, "times": workload.times, "seconds": seconds, "served": served, "trace": trace}


def main() -> None:
    """Do all, and tidy up."""
    mount, source, entries = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    make_tree()
    for workload in Client(mount, source, entries).workloads():
        print(json.dumps(measured(workload)), flush=True)
    run("sh", "-c", f"rm -rf {source}/*")


if __name__ == "__main__":
    main()
