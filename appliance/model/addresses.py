"""Names and addresses of clients, brought into the one form that exportfs also writes."""

from __future__ import annotations

import ipaddress
import re

_NETGROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}\Z")
_WILD_LABEL = re.compile(r"(?!-)[A-Za-z0-9*?-]{1,63}(?<!-)\Z")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)\Z")


def network(value: str) -> str:
    """Return a network in its one form; raises ValueError."""
    if "%" in value:
        raise ValueError("must have no IPv6 zone")
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be a network such as 192.0.2.0/24 or 2001:db8::/32") from None
    raise ValueError(f"has bits set behind its prefix; the network is {wider}")


def host(value: str) -> str:
    """Return a host name or address in its one form; raises ValueError."""
    try:
        return str(ipaddress.ip_address(value)) if "%" not in value else _refuse_host()
    except ValueError:
        pass
    labels = value.split(".")
    # A name whose last label is all digits would be read as a (broken) address by the resolver.
    if len(value) > 253 or not all(map(_LABEL.match, labels)) or labels[-1].isdigit():
        _refuse_host()
    return value.lower()


def _refuse_host() -> str:
    raise ValueError("must be a host name or an address without a prefix")


def netgroup(value: str) -> str:
    """Return the name of a netgroup without its `@`; raises ValueError."""
    name = value.removeprefix("@")
    if not _NETGROUP.match(name):
        raise ValueError("must be the name of a netgroup, such as @render-farm")
    return name


def wildcard(value: str) -> str:
    """Return a pattern of host names in its one form; raises ValueError for one that could match the whole world."""
    labels = value.lower().split(".")
    if len(value) > 253 or not all(map(_WILD_LABEL.match, labels)) or not {"*", "?"} & set(value):
        raise ValueError("must be a pattern of host names with `*` or `?`, such as *.example.org")
    # Wildcards match dots as well, so only what stands behind the last one confines the pattern.
    if len(labels) < 3 or not all(map(_LABEL.match, labels[-2:])) or labels[-1].isdigit():
        raise ValueError("must end with a domain of two plain labels at least, such as *.example.org; "
                         "the whole world is the network 0.0.0.0/0")
    return ".".join(labels)
