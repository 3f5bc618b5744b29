"""What nfsd tells of its NFSv4 clients, and rpc.mountd of NFSv3 ones: pure functions over the texts.

Names of clients come quoted and escaped by the kernel (seq_quote_mem). Names of files come as they are (`%pD2`), quotes
and newlines and all: nothing behind them on a line is believed but the last mark, and a client that opens a file with a
newline in its name can make up lines of its own. It is shown as holding what it does not; the most that
comes of it is that a `remount` check is refused, which can be forced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NODE_BITS = 64
_KINDS = {"open": "open", "lock": "lock", "deleg": "delegation", "layout": "layout"}
_STATE = re.compile(r"- 0x[0-9a-f]+: \{ type: (?P<type>open|lock|deleg|layout)(?P<rest>.*)")
# The inode number is printed as a signed one, and half of our node ids are negative then.
_SUPERBLOCK = re.compile(r'superblock: "([0-9a-f]+):([0-9a-f]+):(-?\d+)"')
_FILENAME = re.compile(r'filename: "(?P<name>.*?)"(?:, owner: .*|, admin-revoked.*)? *\}?$')
_ACCESS = re.compile(r"^(?:[^\"]*?)access: ([rw-]+)")
_DENY = re.compile(r"^(?:[^\"]*?)deny: ([rw-]+)")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\([0-7]{3})|\\(.)")


@dataclass(frozen=True)
class Info:
    """The text of clients/N/info."""

    address: str
    name: str
    status: str
    minor_version: int
    seconds_since_renew: int | None
    callback_state: str
    callback_address: str
    implementation: str


@dataclass(frozen=True)
class State:
    """A line of clients/N/states. `device` and `node` are None for what the kernel tells no file of."""

    kind: str
    access: str
    deny: str
    device: tuple[int, int] | None
    node: int | None
    filename: str
    revoked: bool


def parse_info(text: str) -> Info:
    """Read clients/N/info; what is missing is empty."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(": ")
        if separator and key not in fields:
            fields[key] = value
    renew = fields.get("seconds from last renew", "")
    version = fields.get("minor version", "")
    return Info(
        address=_unquoted(fields.get("address", "")),
        name=_unquoted(fields.get("name", "")),
        status=fields.get("status", ""),
        minor_version=int(version) if version.isdecimal() else 0,
        seconds_since_renew=int(renew) if renew.isdecimal() else None,
        callback_state=fields.get("callback state", ""),
        callback_address=_unquoted(fields.get("callback address", "")),
        implementation=_unquoted(fields.get("Implementation name", "")),
    )


def parse_states(text: str) -> list[State]:
    """Read clients/N/states; what is no state is left out."""
    found = []
    for line in text.split("\n"):
        if (match := _STATE.match(line)) is None:
            continue
        rest = match["rest"]
        block = _SUPERBLOCK.search(rest)
        access, deny, name = _ACCESS.match(rest), _DENY.match(rest), _FILENAME.search(rest)
        found.append(
            State(
                kind=_KINDS[match["type"]],
                access=access[1].replace("-", "") if access else "",
                deny=deny[1] if deny else "",
                device=(int(block[1], 16), int(block[2], 16)) if block else None,
                node=int(block[3]) % 2**_NODE_BITS if block else None,
                filename=name["name"] if name else "",
                revoked=rest.rstrip().endswith("admin-revoked }"),
            )
        )
    return found


def parse_rmtab(text: str) -> list[tuple[str, str]]:
    """Read rpc.mountd's rmtab: pairs of a client and a path, which may have colons in both."""
    found = []
    for line in text.splitlines():
        place, _, count = line.rpartition(":")
        host, separator, path = place.partition(":/")
        if separator and count.startswith("0x"):
            found.append((host, "/" + path))
    return found


def _unquoted(text: str) -> str:
    """Take a value out of the kernel's quotes. Bytes that are no printable text stay escaped."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return _ESCAPE.sub(lambda match: _printable(match), text)


def _printable(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else int(match[2], 8) if match[2] else ord(match[3])
    return chr(code) if 0x20 <= code < 0x7F else match[0]
