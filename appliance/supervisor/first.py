"""The first process: parent of the supervisor and, in a container, process 1. It holds what must not go with that.

It starts the supervisor by fork, and another one when that is killed or fails. A supervisor finds in memory what
its predecessor had asked to be held: the descriptors of /dev/fuse, of the sources and of all else that makes a share.
So mounts, workers and exports do not notice.

It also holds the mount of nfsd. knfsd lives as long as the nfsd filesystem is mounted somewhere, and when a container
is killed it is somebody's end that unmounts it. It matters whose:

- After FUSE's last server: a request that is being carried out then fails with ECONNABORTED, which knfsd passes on to
  the client as an input/output error. The client's program sees it, although the file is all right.
- Inside a process that still has to let go of the last reference to /dev/fuse: knfsd's shutdown closes the clients'
  files, which asks FUSE and waits for an answer that nobody can give any more. Such a process cannot be killed, and
  the host has to be rebooted.

Killing a container kills process 1, and the kernel takes that apart in a fixed order: it closes all of its files,
among them /dev/fuse, and does what that left to do (here: it unmounts nfsd, so knfsd finishes its requests and closes
its files, with all FUSE workers alive and answering), and only then kills the other processes of the container. So
nfsd's mount is attached nowhere and hangs on a descriptor of process 1. Not on its mount namespace, which would be
taken apart before /dev/fuse is let go of, and which `docker exec`, and with it each health check, would enter: whoever
is in it holds the mount. The rule that follows: nobody else keeps a file of nfsd open. What has to be read or written
there is done by short commands.

It is kept small, since its end is the end of everything, and does what a first process has to do besides: it reaps
those who lost their parent and passes signals on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from pathlib import Path
from types import FrameType

from appliance.backoff import Backoff
from appliance.linux import process
from appliance.supervisor.first_orders import FirstProcess, Holder

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LEFTOVERS_SECONDS = 10.0
_GOES_ON = "sm-notify"  # it ends by itself when it has told all NFSv3 clients of the NFS server's start


def become_first() -> FirstProcess:
    """Fork. Return in the child only, which becomes the supervisor; the parent ends as the last supervisor does.

    The child has STOP_SIGNALS blocked and unblocks them when it can obey: an order to stop that came before would kill
    it, and as a supervisor that was killed it would be replaced by one that knows of no such order.
    """
    process.allow_descriptors()
    process.adopt_orphans()  # prctl(2) does not pass that on, so the supervisor is not an adopter as well
    first = os.getpid()
    holder = Holder()
    backoff = Backoff(first=0.05, longest=10.0)
    again = False
    while True:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until there is somebody to pass them on to
        child = os.fork()
        if child == 0:
            ours.close()
            holder.forget_nfsd()
            _default_signals()
            process.set_name("holdfast")
            return FirstProcess(first, theirs, holder.held, again=again)
        theirs.close()
        process.set_name("holdfast-first")
        with ours:
            status = _serve(child, ours, holder)
        if not _fails(status, holder):
            os._exit(exit_status(status))
        _end_leftovers(holder)
        time.sleep(backoff.after_failure(time.monotonic()))
        again = True


def exit_status(status: int) -> int:
    """Return what a shell would: the exit status, or 128 and the number of the signal."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _fails(status: int, holder: Holder) -> bool:
    """Whether another supervisor is due: this one did not end in order, and shares go on without it."""
    return status != 0 and bool(holder.held)


def _serve(child: int, orders: socket.socket, holder: Holder) -> int:
    """Reap, pass signals on and obey until the child has ended, and return how it did."""
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    waiting = select.poll()  # select(2) takes no descriptor above 1023, and so many may be held
    waiting.register(readable, select.POLLIN)
    waiting.register(orders, select.POLLIN)
    try:
        while (status := _reap(child, holder)) is None:
            ready = [descriptor for descriptor, _ in waiting.poll()]
            if readable in ready:
                os.read(readable, 4096)
            if orders.fileno() in ready and not holder.obey(orders):
                waiting.unregister(orders)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # they wait for the next child
        signal.set_wakeup_fd(-1)
        os.close(readable)
        os.close(writable)
    return status


def _reap(child: int, holder: Holder) -> int | None:
    """Reap all that have ended; return the child's status if it is among them."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
            pid, status = ended
            if pid == child:
                return status
            for name in [name for name, spared in holder.spared.items() if spared == pid]:
                del holder.spared[name]  # the number may be another's soon
    return None


def _end_leftovers(holder: Holder) -> None:
    """Kill what the supervisor had started, but for those who live on; the next one starts its own."""
    deadline = time.monotonic() + _LEFTOVERS_SECONDS
    while (left := _children() - set(holder.spared.values())) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
        _reap(-1, holder)


def _children() -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = status.read_text()
            if f"\nPPid:\t{os.getpid()}\n" in text and not text.startswith(f"Name:\t{_GOES_ON}\n"):
                found.add(int(status.parent.name))
    return found


def _default_signals() -> None:
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
