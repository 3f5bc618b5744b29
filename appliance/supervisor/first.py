"""The first process: parent of the supervisor and, in a container, process 1. It holds the mount of nfsd.

Why it is this process that holds it. knfsd lives as long as the nfsd filesystem is mounted somewhere, and when a
container is killed it is somebody's end that unmounts it. It matters whose:

- After FUSE's last server: a request that is being carried out then fails with ECONNABORTED, which knfsd passes on to
  the client as an input/output error. The client's program sees it, although the file is all right.
- Inside a process that still has to let go of the last reference to /dev/fuse: knfsd's shutdown closes the clients'
  files, which asks FUSE and waits for an answer that nobody can give any more. Such a process cannot be killed, and
  the host has to be rebooted.

Killing a container kills process 1, and the kernel takes that apart in a fixed order: it closes its files, does what
that left to do (here: it unmounts nfsd, so knfsd finishes its requests and closes its files, with all FUSE workers
alive and answering), and only then kills the other processes of the container. So nfsd's mount is attached nowhere and
hangs on a descriptor of process 1. Not on its mount namespace: `docker exec`, and with it each health check, would
enter that, and whoever is in it holds the mount. The two rules that follow:

- This process never has a descriptor of /dev/fuse.
- Nobody else keeps a file of nfsd open: what has to be read or written there is done by short commands.

It is kept small, since its end is the end of everything, and does what a first process has to do besides: it reaps
those who lost their parent and passes signals on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from pathlib import Path
from types import FrameType

from appliance.errors import CommandError, KernelError
from appliance.linux import mounts, process

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ORDER = b"mount nfsd"
_REPLY = struct.Struct("=ci")  # done or failed, and a descriptor or an errno
_DONE = b"d"
_FAILED = b"f"
_REPLY_SECONDS = 30.0


class FirstProcess:
    """The first process as the supervisor knows it."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self._connection = connection
        self._end = os.pidfd_open(pid)

    def fileno(self) -> int:
        """A descriptor that becomes readable when the first process has ended."""
        return self._end

    def mount_nfsd(self) -> Path:
        """Have it mount nfsd, and return the path under which that is found. Blocks.

        Raises KernelError or CommandError. Once is enough for the life of the process.
        """
        self._connection.settimeout(_REPLY_SECONDS)
        try:
            self._connection.send(_ORDER)
            verdict, number = _REPLY.unpack(self._connection.recv(_REPLY.size))
        except (OSError, struct.error) as error:
            raise CommandError(f"the first process does not answer: {error}") from error
        if verdict != _DONE:
            raise KernelError(
                f"nfsd cannot be mounted: {os.strerror(number)}", "on the host: modprobe nfsd", code="no-nfsd"
            )
        return Path(f"/proc/{self.pid}/fd/{number}")


def become_first() -> FirstProcess:
    """Fork. Return in the child only, which becomes the supervisor; the parent ends when and as the child does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    first = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # until there is somebody to pass them on to
    process.adopt_orphans()  # the child is not an adopter as well: prctl(2) does not pass that on
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        ours.close()
        return FirstProcess(first, theirs)
    theirs.close()
    process.set_name("holdfast-first")
    _serve(child, ours)
    raise AssertionError("unreachable")


def exit_status(status: int) -> int:
    """Return what a shell would: the exit status, or 128 and the number of the signal."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _serve(child: int, orders: socket.socket) -> None:
    """Reap, pass signals on and carry out orders, until the child has ended."""
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    waiting: list[socket.socket | int] = [readable, orders]
    while True:
        _reap(child)
        ready, _, _ = select.select(waiting, (), ())
        if readable in ready:
            os.read(readable, 4096)
        if orders in ready and not _obey(orders):
            waiting.remove(orders)


def _reap(child: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                os._exit(exit_status(status))
            if pid == 0:
                return


def _obey(orders: socket.socket) -> bool:
    """Carry out one order; False if there will be no more."""
    if orders.recv(64) != _ORDER:
        return False
    try:
        reply = _REPLY.pack(_DONE, mounts.detached("nfsd"))  # never closed: that is what this process is for
    except OSError as error:
        reply = _REPLY.pack(_FAILED, error.errno or 0)
    orders.send(reply)
    return True
