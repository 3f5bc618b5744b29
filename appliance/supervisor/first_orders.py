"""What the supervisor asks of the first process: to mount nfsd, and to hold descriptors for its successor.

One message an order and one a reply, over a socket pair that the fork has made.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.errors import CommandError, KernelError
from appliance.fuse.fd_store import Held
from appliance.linux import mounts
from appliance.logs import facts

_LOG = facts(__name__)
_REPLY = struct.Struct("=Ii")  # the number of the order; a descriptor of the first process, or a negative errno
_REPLY_SECONDS = 30.0
_MAX_ORDER = 64 * 1024
_MAX_DESCRIPTORS = 16


class FirstProcess:
    """The first process as the supervisor knows it; also its FdStore. Calls block, and may come from any thread.

    Should the first process be gone, so is all that could be kept: `keep` and `drop` log what fails, and raise nothing.
    """

    def __init__(self, pid: int, connection: socket.socket, held: Mapping[str, Held], *, again: bool) -> None:
        """`held` is what a supervisor before this one has left, `again` whether there was one."""
        self.pid = pid
        self.held = held
        self.again = again
        self._connection = connection
        self._connection.settimeout(_REPLY_SECONDS)
        self._one_at_a_time = threading.Lock()
        self._last = 0
        self._end = os.pidfd_open(pid)

    def fileno(self) -> int:
        """A descriptor that becomes readable when the first process has ended."""
        return self._end

    def mount_nfsd(self) -> Path:
        """Have it mount nfsd, unless it has, and return the path under which that is found.

        Raises KernelError or CommandError.
        """
        number = self._order({"order": "nfsd"})
        if number < 0:
            raise KernelError(
                f"nfsd cannot be mounted: {os.strerror(-number)}", "on the host: modprobe nfsd", code="no-nfsd"
            )
        return Path(f"/proc/{self.pid}/fd/{number}")

    def keep(self, name: str, text: str, descriptors: Sequence[int], spare: int = 0) -> None:
        """Have it hold copies of the descriptors; see FdStore."""
        self._attempt({"order": "keep", "name": name, "text": text, "spare": spare}, descriptors)

    def drop(self, name: str) -> None:
        """Have it close what it holds under this name."""
        self._attempt({"order": "drop", "name": name})

    def _attempt(self, order: dict[str, object], descriptors: Sequence[int] = ()) -> None:
        try:
            self._order(order, descriptors)
        except CommandError as error:
            # Either it is gone, and the appliance ends with it, or the next supervisor finds something else held.
            which, name = order["order"], order["name"]
            _LOG.error("the first process may not have obeyed", order=which, name=name, reason=error.message)

    def _order(self, order: dict[str, object], descriptors: Sequence[int] = ()) -> int:
        try:
            with self._one_at_a_time:
                self._last += 1
                socket.send_fds(self._connection, [json.dumps({**order, "number": self._last}).encode()], descriptors)
                return self._reply(self._last)
        except (OSError, struct.error) as error:
            raise CommandError(f"the first process does not answer: {error}") from error

    def _reply(self, order: int) -> int:
        while True:
            number, reply = _REPLY.unpack(self._connection.recv(_REPLY.size))
            if number == order:  # not that of an order before, whose patience has run out
                return int(reply)


class Holder:
    """The first process's side: what it holds, and how it obeys."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.spared: dict[str, int] = {}
        """Process ids by the name of what they live on with."""
        self._nfsd = -1

    def obey(self, orders: socket.socket) -> bool:
        """Carry out one order and reply; False if there will be no more."""
        try:
            message, received, _, _ = socket.recv_fds(orders, _MAX_ORDER, _MAX_DESCRIPTORS)
        except OSError:
            return False
        if not message:
            return False
        order = json.loads(message)
        reply = 0
        match order["order"]:
            case "nfsd":
                reply = self._mount_nfsd()
            case "keep":
                self._drop(order["name"])
                self.held[order["name"]] = Held(order["text"], tuple(received))
                if order["spare"]:
                    self.spared[order["name"]] = order["spare"]
            case "drop":
                self._drop(order["name"])
        try:
            orders.send(_REPLY.pack(order["number"], reply))
        except OSError:
            return False
        return True

    def forget_nfsd(self) -> None:
        """Close nfsd's mount, in a process that has it only because of a fork."""
        if self._nfsd >= 0:
            os.close(self._nfsd)
            self._nfsd = -1

    def _mount_nfsd(self) -> int:
        try:
            if self._nfsd < 0:
                self._nfsd = mounts.detached("nfsd")  # never closed: that is what this process is for
        except OSError as error:
            return -(error.errno or 1)
        return self._nfsd

    def _drop(self, name: str) -> None:
        self.spared.pop(name, None)
        if name in self.held:
            for descriptor in self.held.pop(name).descriptors:
                os.close(descriptor)
