"""The exports(5) file as text, and etab as data. Pure functions.

The root of NFSv4's namespace is the tmpfs that holds the mount points, exported read-only under fsid=0. A file handle
of that root has no inode number in it, so it is the same after every restart.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.model import Client
from appliance.model.clients import Flavour, Transport
from appliance.state.records import Fsid

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")
_ADDRESS = re.compile(r"@?[A-Za-z0-9_.:/*?][A-Za-z0-9_.:/*?-]*\Z")
_HALVES = {"0.0.0.0/0": ("0.0.0.0/1", "128.0.0.0/1"), "::/0": ("::/1", "8000::/1")}
_NAMES = "host name"
_HEADER = "# Written by Holdfast; changes made here are lost.\n"

_NEVER_MOUNTED = "/proc/1"  # a directory, and never a mount point
# What every export line has in common:
# no_subtree_check: a file handle must not change its validity when its file is renamed.
_COMMON = ("no_subtree_check",)
_FLAVOURS: tuple[Flavour, ...] = ("krb5p", "krb5i", "krb5", "sys")
# The least that a connection needs, and all that will do then. Nothing is written for "none": every kernel allows that.
_TRANSPORTS: dict[Transport, str] = {"none": "", "tls": "xprtsec=tls:mtls", "mtls": "xprtsec=mtls"}


@dataclass(frozen=True)
class Export:
    """One share as knfsd shall serve it."""

    path: Path
    fsid: Fsid
    clients: tuple[Client, ...]
    sync: bool = True
    withheld: bool = False
    """Clients wait: their requests are left unanswered, as those for a share that is not mounted."""
    own: tuple[Client, ...] = ()
    """As whom the appliance itself reads the share, while it does. The root is no more open to others for it."""

    @property
    def everybody(self) -> tuple[Client, ...]:
        """Who may mount it, the appliance itself included."""
        return (*self.clients, *self.own)


def render(root: Path, exports: Sequence[Export]) -> str:
    """Return the exports(5) file for the shares below the pseudo-root `root`; what has no client is not in it."""
    lines = [_line(root, (_root_client(client) for client in _union(exports)))]
    lines += [_line(export.path, (_client(client, export) for client in export.everybody)) for export in exports]
    return _HEADER + "".join(lines)


def expected(root: Path, exports: Sequence[Export]) -> frozenset[tuple[str, str]]:
    """Return the pairs that `parse_etab` finds when `render` of the same arguments is in force."""
    return pairs_of(root, _union(exports)).union(*(pairs_of(export.path, export.everybody) for export in exports))


def pairs_of(path: Path, clients: Iterable[Client]) -> frozenset[tuple[str, str]]:
    """Return the (path, client) pairs of one share."""
    return _pairs((str(path), address) for client in clients for address in addresses(client))


def resolved(pairs: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return the pairs that are not about host names, so that nothing but exportfs itself can miss them."""
    return frozenset(pair for pair in pairs if not pair[1].startswith(_NAMES))


def _pairs(words: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Count the host names of each path instead of naming them.

    exportfs writes the name that DNS calls canonical, which may be another one, and leaves out what DNS does not know.
    """
    names: Counter[str] = Counter()
    pairs = set()
    for path, word in words:
        if _is_name(word):
            names[path] += 1
            pairs.add((path, f"{_NAMES} {names[path]}"))
        else:
            pairs.add((path, word))
    return frozenset(pairs)


def _is_name(word: str) -> bool:
    if word.startswith("@") or "*" in word or "?" in word:  # exportfs keeps these as they are
        return False
    try:
        ipaddress.ip_network(word)
    except ValueError:
        return True
    return False


def addresses(client: Client) -> tuple[str, ...]:
    """Return the words of exports(5) for a client: one, or the two halves of the whole address space.

    rpc.mountd computes a mask of no bits with a shift by 32, which on x86 is a mask of all bits: 0.0.0.0/0 would match
    nobody.
    """
    return _HALVES.get(client.address, (client.address,))


def parse_etab(text: str) -> frozenset[tuple[str, str]]:
    """Return the (path, client) pairs of exportfs's table, host names counted; lines that are none are passed over."""
    matches = (re.match(r"(\S+)\s+([^(\s]+)\(", line) for line in text.splitlines())
    return _pairs((unescape(match[1]), match[2]) for match in matches if match)


def escape(path: str) -> str:
    """Return `path` as one word of exports(5): all but the plainest bytes become a backslash and three octal digits."""
    return "".join(chr(b) if b in _PLAIN else f"\\{b:03o}" for b in path.encode(errors="surrogateescape"))


def unescape(word: str) -> str:
    """Undo `escape`."""
    escaped = word.encode(errors="surrogateescape")
    raw = re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), escaped)
    return raw.decode(errors="surrogateescape")


def _line(path: Path, clients: Iterable[list[str]]) -> str:
    words = [word for client in clients for word in client]
    # exportfs undoes the escapes of a path again and again: a backslash and three digits cannot be said at all.
    if re.search(r"\\[0-7]{3}", str(path)):
        raise ValueError(f"exportfs would take it for another path: {str(path)!r}")
    return " ".join((escape(str(path)), *words)) + "\n" if words else ""


def _client(client: Client, export: Export) -> list[str]:
    # mountpoint: while the share's filesystem is not mounted, rpc.mountd leaves the kernel's question unanswered. Its
    # clients wait then; without the option they would get ESTALE, or see an empty directory.
    options = [
        client.access,
        "sync" if export.sync else "async",
        *_COMMON,
        f"mountpoint={_NEVER_MOUNTED}" if export.withheld else "mountpoint",
        f"fsid={export.fsid}",
        *_squash(client),
        *_wire(client),
    ]
    return _words(client, options)


def _root_client(client: Client) -> list[str]:
    return _words(client, ["ro", "sync", *_COMMON, "fsid=0", "root_squash", *_wire(client)])


def _words(client: Client, options: Sequence[str]) -> list[str]:
    if not _ADDRESS.match(client.address):  # the model's rules saw to it; an exports line is no place for trust
        raise ValueError(f"not an address for exports(5): {client.address!r}")
    return [f"{address}({','.join(options)})" for address in addresses(client)]


def _squash(client: Client) -> Iterable[str]:
    yield {"root": "root_squash", "all": "all_squash", "none": "no_root_squash"}[client.squash]
    if client.anonuid is not None:
        yield f"anonuid={client.anonuid}"
    if client.anongid is not None:
        yield f"anongid={client.anongid}"


def _wire(client: Client) -> Iterable[str]:
    """Where from, and how protected, a client's requests have to come."""
    yield "secure" if client.secure_ports else "insecure"
    yield "sec=" + ":".join(client.security)
    if protection := _TRANSPORTS[client.transport]:
        yield protection


def _union(exports: Sequence[Export]) -> list[Client]:
    """Return who may pass the root: everybody who may mount a share, in every way that will do for any of them.

    Of the entries that fit a caller only one counts, by exports(5) a host's before its network's before a pattern's,
    and these may come from different shares. So none may be stricter than another.
    """
    clients = [client for export in exports for client in export.clients]
    loosest = _loosest(clients) if clients else {}
    entries = {client.address: client for client in clients}
    own = {client.address: client for export in exports for client in export.own}
    return [*(entries[address].model_copy(update=loosest) for address in sorted(entries)), *own.values()]


def _loosest(clients: Sequence[Client]) -> dict[str, object]:
    """Return what is asked of the wire where each of these clients is to be let in."""
    flavours = {flavour for client in clients for flavour in client.security}
    return {
        "secure_ports": all(client.secure_ports for client in clients),
        "security": tuple(flavour for flavour in _FLAVOURS if flavour in flavours),
        "transport": min((client.transport for client in clients), key=list(_TRANSPORTS).index),
    }
