"""What /proc says of processes: their children, memory and descriptors."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def children(pid: int) -> list[int]:
    """Return the pids of the living children of `pid`; none when it is gone."""
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [child for child in found if alive(child)]


def descendants(pid: int) -> list[int]:
    """Return the pids of everything below `pid`, parents before children."""
    found: list[int] = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def state(pid: int) -> str:
    """Return the state letter of proc(5), X for a process that is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return stat.rpartition(")")[2].split()[0]


def alive(pid: int) -> bool:
    """Say whether `pid` runs: a process that ended and waits to be reaped does not."""
    return state(pid) not in "ZX"


def name(pid: int) -> str:
    """Return the name of `pid`, empty when it is gone."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def resident_kilobytes(pid: int) -> int:
    """Return the resident memory of `pid` in KiB. Raises FileNotFoundError when it is gone."""
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def own_kilobytes(pid: int) -> int:
    """Return the memory in KiB that `pid` shares with nobody. Raises FileNotFoundError when it is gone."""
    lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def descriptor_count(pid: int) -> int:
    """Return how many descriptors `pid` holds."""
    return len(os.listdir(_PROC / str(pid) / "fd"))


def kill(pid: int) -> None:
    """SIGKILL to `pid`, unless it has just ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_tree(pid: int) -> None:
    """SIGKILL to `pid` and all below it, the top first, so that nobody is left to start a replacement."""
    for victim in [pid, *descendants(pid)]:
        kill(victim)
