"""Whether the ports are free at which clients are to reach the container: those that compose.yaml is told of."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Mapping, Set
from dataclasses import dataclass
from ipaddress import ip_address

from deploy.preflight.finding import Finding, failed, note, ok, unknown

RPCBIND = 111
_BIND = re.compile(r"(?:(?P<address>[0-9.]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535


@dataclass(frozen=True)
class Wanted:
    """A setting of compose.yaml that leads a port of this host to the container, and what it is for."""

    setting: str
    usual: str
    owner: str


WANTED = (Wanted("HOLDFAST_NFS_BIND", "2049", "NFS"), Wanted("HOLDFAST_API_BIND", "127.0.0.1:8080", "the API"))


def look(environment: Mapping[str, str], ours: Set[int]) -> list[Finding]:
    """Look at each port that is wanted; `ours` are those that the running appliance has."""
    return [_wanted(each, environment.get(each.setting) or each.usual, ours) for each in WANTED]


def _wanted(wanted: Wanted, value: str, ours: Set[int]) -> Finding:
    if (read := _read(value)) is None:
        return failed(wanted.setting, f"{value!r} is neither a port nor address:port",
                      f"export {wanted.setting}={wanted.usual}")
    number, address = read
    subject = f"port {number}"
    if number in ours:
        return ok(subject, "this appliance has it")
    try:
        _bind(number, address)
    except PermissionError:
        return unknown(subject, "only root can try it", "sudo --preserve-env holdfast-deploy preflight")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return failed(wanted.setting, f"{value} cannot be listened at: {error.strerror}",
                          f"export {wanted.setting}={wanted.usual}  # or an address of this host: ip address")
        return failed(subject, f"{wanted.owner} needs it and somebody listens there",
                      f"ss -ltnp 'sport = :{number}'  # stop who it is, or set {wanted.setting} to another port")
    return ok(subject, f"it is free for {wanted.owner}{f' at {address}' if address else ''}")


def _read(value: str) -> tuple[int, str] | None:
    """Return port and address, "" for every one, as `docker compose` reads them; None if they are none."""
    found = _BIND.fullmatch(value)
    if found is None or not 0 < int(found["port"]) <= _LAST_PORT:
        return None
    address = (found["address"] or "").strip("[]")
    try:
        return int(found["port"]), address and str(ip_address(address))
    except ValueError:
        return None


def rpcbind(number: int = RPCBIND) -> Finding:
    """Look for a portmapper, which is in nobody's way but NFSv3's with host networking."""
    try:
        _bind(number)
    except PermissionError:
        return note("rpcbind", f"port {number} cannot be tried without root; only NFSv3 with host networking needs it")
    except OSError:
        return note("rpcbind", f"it runs on this host (port {number}): in the way only of NFSv3 with host networking",
                    "systemctl disable --now rpcbind.socket rpcbind.service  # only for that")
    return ok("rpcbind", f"port {number} is free, should NFSv3 be served with host networking")


def _bind(number: int, address: str = "") -> None:
    """Listen for a moment, at every address of this host if none is given. Raises OSError."""
    six = ":" in address or (not address and socket.has_dualstack_ipv6())
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as probe:
        if six:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if address else 0)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, number))
