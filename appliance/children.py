"""What the supervisor has to know of a child process to keep it running: data, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HoldsOpen:
    """Ready once the process has a file open whose name ends like this; shows that a daemon is in its main loop."""

    suffix: str


@dataclass(frozen=True)
class Accepts:
    """Ready once a TCP connection to this port is accepted."""

    port: int
    host: str = "localhost"


@dataclass(frozen=True)
class Answers:
    """Ready once an HTTP request for this path over a unix socket is answered; one that accepts may be its parent's."""

    socket: Path
    path: str


@dataclass(frozen=True)
class Succeeds:
    """Ready once this command ends with status 0."""

    argv: tuple[str, ...]


@dataclass(frozen=True)
class AsksKernel:
    """Ready once the process has a socket of generic netlink, by which the kernel can ask it something."""


Ready = HoldsOpen | Accepts | Answers | Succeeds | AsksKernel


@dataclass(frozen=True)
class ChildSpec:
    """One child: how it is started and by what it shows that it is ready. It is restarted whenever it ends."""

    name: str
    argv: tuple[str, ...]
    ready: Ready
    user: str | None = None
    """Run it as this user and the group of the same name, without any other group or any capability; None: as root."""
    capabilities: tuple[str, ...] | None = None
    """Of root's capabilities it and what it runs have these at most, in setpriv(1)'s words; None: all of ours."""
    pass_fds: tuple[int, ...] = ()
    """Descriptors that it inherits under their own numbers."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables beside PATH."""
    own_log: bool = False
    """It writes log lines of our own form; the output of others is wrapped into such."""
