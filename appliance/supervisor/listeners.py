"""The sockets at which the API is asked, and its process, which inherits them: its restarts refuse nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.children import Answers, ChildSpec
from appliance.fuse.fd_store import Held
from appliance.settings import Settings
from appliance.supervisor import preconditions
from appliance.supervisor.child import python
from appliance.supervisor.first_orders import FirstProcess

KEPT_AS = "api"  # the name under which the first process keeps the listening socket


@dataclass(frozen=True)
class Listeners:
    """Listening sockets: over the network, and of this host's own command line."""

    network: socket.socket
    local: socket.socket

    def close(self) -> None:
        """Close both; who has inherited them goes on."""
        self.network.close()
        self.local.close()


def listen(settings: Settings, first: FirstProcess, group: int) -> Listeners:
    """Return the sockets, a predecessor's over the network if there is one: then nobody was refused in between.

    `group` may connect to the local one. Raises PreconditionError if the address is taken.
    """
    if held := first.held.get(KEPT_AS):
        network = socket.socket(fileno=held.descriptors[0])
    else:
        network = preconditions.listen(str(settings.api_address), settings.api_port)
    return Listeners(network, _local(settings.api_socket, group))


def keep(listeners: Listeners, first: FirstProcess) -> None:
    """Have the first process keep the listening socket for the next supervisor.

    From then on a supervisor that fails is replaced, so not before the start is known to succeed: what fails until
    then ends the container with the exit status that says why.
    """
    if KEPT_AS not in first.held:
        first.keep(KEPT_AS, "", (listeners.network.fileno(),))


def but_ours(held: Mapping[str, Held]) -> dict[str, Held]:
    """Return what else the first process keeps: the connections of shares."""
    return {name: each for name, each in held.items() if name != KEPT_AS}


def _local(path: Path, group: int) -> socket.socket:
    """Return the unix socket; root and the group may connect, and only root needs no token."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chown(path, -1, group)
    os.chmod(path, 0o660)
    listener.listen(128)
    return listener


def api_child(settings: Settings, listeners: Listeners) -> ChildSpec:
    """Return what to know of the API's process."""
    network, local = listeners.network.fileno(), listeners.local.fileno()
    return ChildSpec(
        name="api",
        argv=python("api", "--fd", str(network), "--unix-fd", str(local)),
        ready=Answers(settings.api_socket, "/healthz"),
        user=settings.api_user,
        pass_fds=(network, local),
        environment=tuple(settings.environment().items()),
        own_log=True,
    )
