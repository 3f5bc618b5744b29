"""`holdfast share`: list, show, add, edit and remove shares."""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.parse import quote

from api.cli import show
from api.cli.client import Client, Json
from api.cli.statuses import FINE

_CLIENT_HELP = (
    "who may mount it: a network or a host, with options behind a colon as in 192.0.2.0/24:rw,squash=none. May be "
    "given again. An IPv6 network is put into brackets: [2001:db8::/32]:rw"
)


def add(commands: Any) -> None:
    """Add the command."""
    share = commands.add_parser("share", help="list, show, add, edit, remove shares")
    actions = share.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list shares and how they are doing")
    listing.set_defaults(run=_list)
    showing = actions.add_parser("show", help="show all of one share")
    showing.add_argument("name", metavar="NAME")
    showing.set_defaults(run=_show)
    adding = actions.add_parser("add", help="add a share")
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("source", metavar="SOURCE", help="the directory, as the appliance sees it")
    _options(adding)
    adding.set_defaults(run=_add)
    editing = actions.add_parser("edit", help="change what is given, and leave the rest")
    editing.add_argument("name", metavar="NAME")
    editing.add_argument("--source", help="another directory: another share to its clients")
    editing.add_argument("--enable", action="store_const", const=True, dest="enabled", help="serve it")
    editing.add_argument("--disable", action="store_const", const=False, dest="enabled", help="keep it, unserved")
    _options(editing)
    editing.set_defaults(run=_edit)
    removing = actions.add_parser("remove", help="stop sharing; the data stay")
    removing.add_argument("name", metavar="NAME")
    removing.set_defaults(run=_remove)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--client", action="append", dest="clients", metavar="CLIENT[:OPTIONS]", help=_CLIENT_HELP)
    parser.add_argument("--workers", type=int, help="worker processes")
    parser.add_argument(
        "--set", action="append", default=[], dest="fields", metavar="FIELD=JSON",
        help="any other field of a share as the API has it, such as sync=false",
    )  # fmt: skip


def client_of(text: str) -> Json:
    """Read a client as people write it; the API checks what is in it. Raises ValueError."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            raise ValueError(f"{text}: an address in brackets ends with ], and options begin with a colon")
        options = rest[1:]
    elif text.count(":") > 1 and "=" not in text and "," not in text and not text.endswith((":rw", ":ro")):
        address, options = text, ""  # an IPv6 address as it is
    else:
        address, _, options = text.partition(":")
    kind = "network" if "/" in address or ":" in address or address.replace(".", "").isdecimal() else "host"
    if address.startswith("@"):
        kind, address = "netgroup", address[1:]
    elif "*" in address or "?" in address:
        kind = "wildcard"
    if kind == "network" and "/" not in address:
        address += "/128" if ":" in address else "/32"
    found: Json = {kind: address}
    for option in filter(None, options.split(",")):
        key, separator, value = option.partition("=")
        if option in ("rw", "ro"):
            found["access"] = option
        elif separator:
            found[key.replace("-", "_")] = _value(value)
        else:
            raise ValueError(f"{option}: an option is rw, ro or NAME=VALUE")
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fields(arguments: argparse.Namespace) -> Json:
    found: Json = {}
    for name in ("source", "enabled", "workers"):
        if getattr(arguments, name, None) is not None:
            found[name] = getattr(arguments, name)
    if arguments.clients is not None:
        found["clients"] = [client_of(text) for text in arguments.clients]
    for field in arguments.fields:
        name, _, value = field.partition("=")
        found[name.replace("-", "_")] = _value(value)
    return found


def _place(name: str) -> str:
    return f"/v1/shares/{quote(name, safe='')}"


def _list(client: Client, arguments: argparse.Namespace) -> int:
    shares = client.call("GET", "/v1/shares")
    show.out(shares, arguments, show.shares)
    return FINE


def _show(client: Client, arguments: argparse.Namespace) -> int:
    show.out(client.call("GET", _place(arguments.name)), arguments, show.fields)
    return FINE


def _add(client: Client, arguments: argparse.Namespace) -> int:
    made = client.call("POST", "/v1/shares", {"name": arguments.name, **_fields(arguments)})
    show.out(made, arguments, lambda share: show.shares({"shares": [share]}))
    return FINE


def _edit(client: Client, arguments: argparse.Namespace) -> int:
    place = _place(arguments.name)
    seen = client.ask("GET", place)
    # Only if nobody has changed it since.
    guard = {"If-Match": seen.headers["etag"]} if "etag" in seen.headers else {}
    changed = client.ask("PATCH", place, json.dumps(_fields(arguments)).encode(), guard)
    show.out(changed.body, arguments, lambda share: show.shares({"shares": [share]}))
    return FINE


def _remove(client: Client, arguments: argparse.Namespace) -> int:
    place = _place(arguments.name)
    seen = client.ask("GET", place)
    guard = {"If-Match": seen.headers["etag"]} if "etag" in seen.headers else {}
    client.ask("DELETE", place, None, guard)
    return FINE
