"""The daemon under test: `python -m appliance.fuse`, its processes and its log."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.support import faulty
from tests.support.commands import pasteable
from tests.support.janitor import Janitor
from tests.support.logs import WatchedLog
from tests.support.processes import alive, children, descendants, kill, kill_tree, name
from tests.support.scratch import mounted_below, unmount_below

REPOSITORY = Path(__file__).parents[2]
_HELD_BACK = "workers end as soon as they are started: killed by SIGKILL"
_START_SECONDS = 120
_STOP_SECONDS = 90

# What runs daemons: one with libfuse 3.17 has the kernel read and write, see newer_libfuse.
PYTHON = [sys.executable]

T = TypeVar("T")


class DaemonError(Exception):
    """The daemon did not start, or did not end when told to."""


# Every daemon that should be up: after each test their logs are looked at.
LIVE: list[Daemon] = []


class Daemon:
    """One running daemon. The tree is: main process, its one pool process, the pool's workers."""

    def __init__(
        self, process: subprocess.Popen[bytes], source: Path, mountpoint: Path, log: WatchedLog, size: int
    ) -> None:
        self.process = process
        self.source = source
        self.mountpoint = mountpoint
        self.log = log
        self.size = size

    @property
    def pool(self) -> int:
        """The pid of the pool process. Waits for it when it is being replaced."""
        return self._await(lambda: next(iter(children(self.process.pid)), None), "has no pool process")

    @property
    def workers(self) -> list[int]:
        """The pids of the workers that run now, which may be none."""
        return [pid for pool in children(self.process.pid) for pid in children(pool) if name(pid) == "holdfast-worker"]

    def full_pool(self) -> list[int]:
        """Wait until all workers run and return their pids."""
        return self._await(
            lambda: pids if len(pids := self.workers) == self.size else None, f"never had {self.size} workers again"
        )

    def kill_workers(self) -> None:
        """SIGKILL every worker, and wait until they are gone, but not until there are others."""
        # Those that die before their first request look as if they were to blame, and are held back a little.
        self.log.announce(_HELD_BACK)
        victims = self.full_pool()
        for pid in victims:
            kill(pid)
        self._await_end(victims)

    def kill_one_worker(self, dice: random.Random) -> int | None:
        """SIGKILL one worker of those alive now; return its pid, None when there was none."""
        if not (workers := self.workers):
            return None
        self.log.announce(_HELD_BACK)
        victim = dice.choice(workers)
        kill(victim)
        return victim

    def kill_pool(self) -> None:
        """SIGKILL the pool process, and wait until it and its workers are gone."""
        victims = [self.pool, *self.full_pool()]
        kill(victims[0])
        self._await_end(victims)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit status. Raises DaemonError if it does not end, or leaves a child."""
        family = descendants(self.process.pid)
        self.process.send_signal(signal_number)
        try:
            status = self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise DaemonError(f"still runs {_STOP_SECONDS} s after signal {signal_number}") from None
        self._await_end(family)
        return status

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def _await_end(self, victims: list[int]) -> None:
        self._await(lambda: None if any(map(alive, victims)) else True, "kept killed processes")

    def _await(self, look: Callable[[], T | None], complaint: str) -> T:
        """Look until there is something to see. /proc has no event for it, hence the short naps."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if (seen := look()) is not None:
                return seen
            time.sleep(0.01)
        raise DaemonError(f"the daemon {complaint}; its log: {self.log.path}")


def command(source: Path, mountpoint: Path, *options: str, python: str = "") -> list[str]:
    """Return the command line of a daemon, run by another Python than usual if one is given."""
    return [python or PYTHON[0], "-m", "appliance.fuse", str(source), str(mountpoint), *options]


@contextmanager
def daemon(
    source: Path,
    mountpoint: Path,
    log: Path,
    watch: Janitor,
    *options: str,
    workers: int = 2,
    fault: str = "",
    python: str = "",
) -> Iterator[Daemon]:
    """Run a daemon for the length of the context, in which it must stay up, and which it must end in good order.

    `fault` gives it one of the wrong codecs of tests.support.faulty.
    """
    mountpoint.mkdir(exist_ok=True)
    # The same mountpoint has the same state: a daemon that comes after another knows the handles of its files.
    state = mountpoint.with_name(f"{mountpoint.name}.state")
    # What is slow about a machine is no event of the daemon's, unless a test is about that.
    patient = ("--slow-after", "300", "--state", str(state))
    words = command(source, mountpoint, "--workers", str(workers), *patient, *options, python=python)
    log.touch()
    watched = WatchedLog(log)
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=REPOSITORY,
            start_new_session=True,
            env={**os.environ, **faulty.environment(fault)} if fault else None,
        )
    watch.tell("daemon", process.pid, log)
    running = Daemon(process, source, mountpoint, watched, workers)
    try:
        await_ready(process, pasteable(words), log)
        LIVE.append(running)
        yield running
        if running.running:
            status = running.stop()
            assert status == 0, f"the daemon ended with {status}; its log: {log}"
        running.log.check()
        assert not mounted_below(mountpoint), "the daemon left its mount"
    finally:
        if running in LIVE:
            LIVE.remove(running)
        kill_tree(process.pid)
        process.wait()
        unmount_below(mountpoint)
        watch.tell("gone", process.pid)


def await_ready(process: subprocess.Popen[bytes], words: str, log: Path) -> None:
    """Wait for the line READY on the daemon's stdout. Raises DaemonError."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_SECONDS
    said = b""
    while b"READY\n" not in said:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not data:
            trouble = f"ended with {process.wait(5)}" if ready else "said nothing in time"
            raise DaemonError(f"{words} {trouble}:\n{log.read_text(errors='backslashreplace')}")
        said += data
