"""`gaps.py DIRECTORY WHAT=TIMES...`: how long clients of a share wait when something on its server is killed.

Two clients of the directory do one thing after the other all the time: one looks for names that are not there, which
each time asks a worker; one writes a block and has it stored. What counts is the longest time between the ends of two
successive operations, from before the blow until all is as it was. WHAT: nothing, worker, pool, supervisor, container.
Prints JSON: {WHAT: {"look": [SECONDS, ...], "write": [...]}, ...}. A client that is told an error ends it with that.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

_LAST, _LONGEST, _COUNT, _STOP = range(4)
_SECONDS = 300.0
_AFTER = 5  # operations that each client has to have done after it
CALM_SECONDS = 3.0


class Client:
    """A process that does one thing again and again, and what it tells of itself in memory that it shares."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self._act = act
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def count(self) -> int:
        """How many operations it has done."""
        return int(self._get(_COUNT))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have it work for the time of the block. Raises RuntimeError if it was told an error."""
        pid = os.fork()
        if not pid:
            self._work()
        try:
            yield
        finally:
            self._set(_STOP, 1)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            raise RuntimeError(f"a client ended with status {status}")

    def forget(self) -> None:
        """Begin anew to look for the longest gap."""
        self._set(_LONGEST, 0)

    def longest(self) -> float:
        """Return the longest gap since then, in seconds; one that has not ended yet as well."""
        return max(self._get(_LONGEST), time.monotonic() - self._get(_LAST))

    def _work(self) -> None:
        status = 1
        try:
            self._set(_LAST, time.monotonic())
            while not self._get(_STOP):
                self._act(self.count)
                now = time.monotonic()
                self._set(_LONGEST, max(now - self._get(_LAST), self._get(_LONGEST)))
                self._set(_LAST, now)
                self._set(_COUNT, self.count + 1)
            status = 0
        finally:
            if status:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
            os._exit(status)

    def _get(self, slot: int) -> float:
        (value,) = struct.unpack_from("=d", self._memory, 8 * slot)
        return float(value)

    def _set(self, slot: int, value: float) -> None:
        struct.pack_into("=d", self._memory, 8 * slot, value)


def _look(directory: Path, number: int) -> None:
    with suppress(FileNotFoundError):
        os.stat(directory / f"absent-{number}")
        raise RuntimeError(f"absent-{number} is there")


def _write(descriptor: int, number: int) -> None:
    os.pwrite(descriptor, b"%4096d" % number, 0)
    os.fsync(descriptor)


@contextmanager
def clients(directory: Path) -> Iterator[dict[str, Client]]:
    """Have both clients at work in a directory, by what they do."""
    path = directory / f"gaps-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        found = {"look": Client(partial(_look, directory)), "write": Client(partial(_write, descriptor))}
        with ExitStack() as stack:
            for client in found.values():
                stack.enter_context(client.at_work())
            await_operations(found)
            yield found
    finally:
        os.close(descriptor)
        os.unlink(path)


def until(look: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so. Raises RuntimeError after five minutes."""
    end = time.monotonic() + _SECONDS
    while not look():
        if time.monotonic() > end:
            raise RuntimeError(f"gave up waiting until {what}")
        time.sleep(0.02)


def await_operations(working: dict[str, Client]) -> None:
    """Wait until each client has done some operations from now on."""
    wanted = {name: client.count + _AFTER for name, client in working.items()}
    until(lambda: all(working[name].count >= count for name, count in wanted.items()), "clients go on")


def gap(working: dict[str, Client], strike: Callable[[], object], restored: Callable[[], bool]) -> dict[str, float]:
    """Return the longest gap of each client from before a blow until what it hit is there again."""
    for client in working.values():
        client.forget()
    strike()
    until(restored, "all is as it was")
    await_operations(working)
    return {name: client.longest() for name, client in working.items()}


def _pids(name: str) -> list[int]:
    found = subprocess.run(("pgrep", "--exact", name), capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def _ready() -> bool:
    url = f"{os.environ['HOLDFAST_URL']}/readyz"
    return subprocess.run(("curl", "--silent", "--fail", "--max-time", "10", url), capture_output=True).returncode == 0


def _measure(working: dict[str, Client], what: str) -> dict[str, float]:
    if what == "nothing":
        return gap(working, lambda: time.sleep(CALM_SECONDS), lambda: True)
    if what == "container":
        compose = ("docker", "compose", "--file", "/root/holdfast/compose.yaml", "restart", "--timeout", "60")
        return gap(working, partial(subprocess.run, compose, check=True, capture_output=True), _ready)
    name = {"worker": "holdfast-worker", "pool": "holdfast-pool", "supervisor": "holdfast"}[what]
    before = _pids(name)
    victim = random.choice(before)

    def restored() -> bool:
        now = _pids(name)
        return victim not in now and len(now) >= len(before) and (what == "worker" or _ready())

    return gap(working, partial(os.kill, victim, signal.SIGKILL), restored)


def main() -> None:
    """Measure and print."""
    found: dict[str, dict[str, list[float]]] = {}
    with clients(Path(sys.argv[1])) as working:
        for what, times in (word.split("=") for word in sys.argv[2:]):
            for _ in range(int(times)):
                for name, seconds in _measure(working, what).items():
                    found.setdefault(what, {}).setdefault(name, []).append(seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
