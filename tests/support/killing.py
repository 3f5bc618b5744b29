"""Killing a process of the daemon at a system call of its own, by strace: nothing in the daemon knows of the test."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.daemon import Daemon

_PATIENCE = 120.0  # seconds


@contextmanager
def killed_at(pids: Sequence[int], calls: dict[str, int], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have the kernel kill each of the processes as it enters the n-th of any of these calls, which is not made.

    `calls` are names of system calls, several with commas, and n. With the option -f children are treated likewise.
    """
    words = ["strace", *options, "-o", "/dev/null", "-e", f"trace={','.join(calls)}"]
    for pid in pids:
        words += ["-p", str(pid)]
    for names, number in calls.items():
        words += ["-e", f"inject={names}:signal=SIGKILL:when={number}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as strace:
        assert strace.stderr is not None
        said = b""
        while said.count(b" attached") < len(pids):
            assert select.select([strace.stderr], [], [], _PATIENCE)[0], f"strace did not attach: {said!r}"
            data = os.read(strace.stderr.fileno(), 4096)
            assert data, f"strace failed: {said!r}"
            said += data
        try:
            yield strace
        finally:
            strace.send_signal(signal.SIGINT)


@contextmanager
def killed_at_reply(number: int, pid: int) -> Iterator[None]:
    """Have the kernel kill a worker as it enters its `number`-th writev(2); it has done what it replies to."""
    with killed_at([pid], {"writev": number}):
        yield


def replaced(running: Daemon, pid: int) -> bool:
    """Tell whether the worker `pid` was killed, when there is one that serves."""
    os.statvfs(running.mountpoint)
    return only_worker(running) != pid


def only_worker(running: Daemon) -> int:
    """Return the pid of the only worker. Waits for it when it is being replaced."""
    deadline = time.monotonic() + _PATIENCE
    while len(workers := running.workers) != 1:
        assert time.monotonic() < deadline, f"the daemon has the workers {workers}"
        time.sleep(0.01)
    return workers[0]
