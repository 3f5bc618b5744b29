"""The first process of a container: starts the supervisor, reaps whoever lost its parent, passes signals on.

A process apart, because only who waits for any child at all can reap orphans, and the supervisor waits for particular
ones. Where another first process is there (docker run --init, systemd), there is nothing to do.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def stay_first() -> None:
    """As process 1, fork and return in the child only; the parent never returns but ends with the child's status."""
    if os.getpid() != 1:
        return
    handled = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)  # until there is somebody to pass them on to
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        return

    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(child, number)

    for number in handled:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(exit_status(status))


def exit_status(status: int) -> int:
    """Return what a shell would: the exit status, or 128 and the number of the signal."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
