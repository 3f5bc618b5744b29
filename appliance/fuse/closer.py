"""Closing descriptors somewhere else.

To close the last descriptor of an unlinked file frees its blocks, and that waits for storage that is slow or gone.
Who watches over the workers must never wait for it, and so passes such a descriptor on to a process that does nothing
else.
"""

from __future__ import annotations

import os
import resource
import socket
from typing import Never

from appliance.linux import process


class Closer:
    """A process that closes what it is given, started when it is first needed. It ends with this object's owner."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._pid = 0
        self._unsent: list[int] = []

    def close(self, descriptor: int) -> None:
        """Take a descriptor away from the caller and have it closed. Never waits."""
        self._unsent.append(descriptor)
        self.flush()

    def flush(self) -> None:
        """Pass on what there was no room for before."""
        while self._unsent and self._send(self._unsent[0]):
            os.close(self._unsent.pop(0))  # on its way: this is not the last one

    def _send(self, descriptor: int) -> bool:
        try:
            socket.send_fds(self._socket or self._start(), [b"."], [descriptor])
        except (BrokenPipeError, ConnectionResetError):
            self.end()  # somebody has killed it; the next time another is started
            os.waitpid(self._pid, os.WNOHANG)
            return False
        except OSError:
            return False  # it is behind: no room, or too many descriptors on their way (ETOOMANYREFS)
        return True

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            _serve(theirs)
        theirs.close()
        ours.setblocking(False)
        self._socket = ours
        return ours

    def end(self) -> None:
        """Let go of the process, which ends when it has closed all it was given and no forked child holds on to it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def abandon(self) -> None:
        """Let go of the process and of what it was not given yet, in a forked child: both are its parent's."""
        self.end()
        for descriptor in self._unsent:
            os.close(descriptor)
        self._unsent.clear()


def _serve(requests: socket.socket) -> Never:
    process.set_name("holdfast-closer")
    try:
        own = requests.fileno()
        os.closerange(3, own)  # above all the control socket, whose end must be seen when the pool process dies
        os.closerange(own + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        process.keep_capabilities(frozenset())  # close(2) asks for none
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
            for descriptor in descriptors:
                os.close(descriptor)
            if not message:
                break
    finally:
        os._exit(0)
