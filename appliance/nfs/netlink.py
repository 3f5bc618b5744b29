"""Which processes have sockets of generic netlink, the way by which the kernel asks tlshd to shake hands."""

from __future__ import annotations

from pathlib import Path

_GENERIC = "16"  # NETLINK_GENERIC
_PID_BITS = 22  # libnl makes an address of the process id and, above it, a number of the socket


def has_generic(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether this process has such a socket in our own network namespace."""
    try:
        lines = (proc / "net/netlink").read_text().splitlines()
    except OSError:
        return False
    rows = [line.split() for line in lines[1:]]
    return any(row[1] == _GENERIC and int(row[2]) & (1 << _PID_BITS) - 1 == pid for row in rows if len(row) > 2)
