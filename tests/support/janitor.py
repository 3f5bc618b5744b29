"""A process that outlives the test run and a hung mount: it ends what takes too long and removes what is left.

A process that waits for a FUSE daemon hears no signal but SIGKILL, so no timeout inside pytest can end a test whose
daemon does not answer. The janitor can: it kills the daemon, and the kernel then fails the request with an errno.
When the test run is over, however it ended, the janitor kills its daemons and demolishes its work directories.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.support.processes import kill_tree
from tests.support.scratch import sweep


class Janitor:
    """The test run's end of the pipe."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe

    def tell(self, *words: object) -> None:
        """Send one line: `daemon PID LOG`, `gone PID`, or `deadline SECONDS SPARED-PID ...` (0: none)."""
        print(*words, file=self._pipe, flush=True)

    @contextmanager
    def deadline(self, seconds: float, spared: Iterable[int]) -> Iterator[None]:
        """Kill every daemon but the spared ones when the context takes longer."""
        self.tell("deadline", seconds, *spared)
        try:
            yield
        finally:
            self.tell("deadline", 0)


@contextmanager
def janitor() -> Iterator[Janitor]:
    """Start the janitor of this process; it ends when this process does or leaves the context."""
    command = [sys.executable, "-m", __name__, str(os.getpid())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdin is not None
    try:
        yield Janitor(process.stdin)
    finally:
        process.stdin.close()
        process.wait(60)


class _Room:
    """What the janitor knows of the test run."""

    def __init__(self) -> None:
        self.daemons: dict[int, Path] = {}
        self.deadline = 0.0
        self.spared: set[int] = set()

    def hear(self, line: str) -> None:
        match line.split(" "):
            case ["daemon", pid, *log]:
                self.daemons[int(pid)] = Path(" ".join(log))
            case ["gone", pid]:
                self.daemons.pop(int(pid), None)
            case ["deadline", seconds, *spared]:
                self.deadline = time.monotonic() + float(seconds) if float(seconds) else 0.0
                self.spared = {int(pid) for pid in spared}

    def kill_daemons(self, why: str) -> None:
        for pid in self.daemons.keys() - self.spared:
            with self.daemons.pop(pid).open("a") as log:
                print(f"janitor: {why}, daemon {pid} killed", file=log)
            kill_tree(pid)


def main(owner: int) -> None:
    """Serve the pipe on descriptor 0 until it closes or `owner` ends, then clean up after that process."""
    room = _Room()
    buffer = b""
    ended = os.pidfd_open(owner)  # the pipe alone does not tell: children of the owner may hold it open
    while True:
        patience = max(0.0, room.deadline - time.monotonic()) if room.deadline else None
        ready, _, _ = select.select([0, ended], [], [], patience)
        if not ready:
            room.kill_daemons("the test's time was up")
            room.deadline = 0.0
            continue
        if 0 not in ready or not (data := os.read(0, 65536)):
            break
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            room.hear(os.fsdecode(line))
    room.spared.clear()
    room.kill_daemons("the test run is over")
    sweep(owner)


if __name__ == "__main__":
    main(int(sys.argv[1]))
