"""`holdfast token`: who may ask the API."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from api.cli import show
from api.cli.client import Client
from api.cli.statuses import FINE


def add(commands: Any) -> None:
    """Add the command."""
    token = commands.add_parser("token", help="make, list and revoke tokens")
    actions = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    making = actions.add_parser("make", help="make a token and print it: it is not told again")
    making.add_argument("name", metavar="NAME")
    making.add_argument("--role", choices=("read", "operate", "admin"), default="read", help="(default: read)")
    making.set_defaults(run=_make)
    listing = actions.add_parser("list", help="list tokens, without what is secret of them")
    listing.set_defaults(run=_list)
    revoking = actions.add_parser("revoke", help="take a token away, at once")
    revoking.add_argument("name", metavar="NAME")
    revoking.set_defaults(run=_revoke)


def _make(client: Client, arguments: argparse.Namespace) -> int:
    made = client.call("POST", "/v1/tokens", {"name": arguments.name, "role": arguments.role})
    show.out(made, arguments, lambda token: str(token["token"]))
    return FINE


def _list(client: Client, arguments: argparse.Namespace) -> int:
    show.out(client.call("GET", "/v1/tokens"), arguments, show.tokens)
    return FINE


def _revoke(client: Client, arguments: argparse.Namespace) -> int:
    client.call("DELETE", f"/v1/tokens/{quote(arguments.name, safe='')}")
    return FINE
