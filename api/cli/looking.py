"""`holdfast status`, `clients` and `events`: what is, and what happens."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import urlencode

from api.cli import show
from api.cli.client import ApiRefusal, Client
from api.cli.statuses import FINE, WRONG


def add(commands: Any) -> None:
    """Add the commands."""
    status = commands.add_parser("status", help="tell what is not as it should be, and the shares")
    status.set_defaults(run=_status)
    clients = commands.add_parser("clients", help="list NFS clients, show one with what it holds, or end its session")
    clients.add_argument("number", metavar="NUMBER", nargs="?", type=int, help="show this one with all it holds")
    clients.add_argument("--share", help="only those that hold something on it")
    clients.add_argument("--expire", action="store_true", help="end the session of the one that is named")
    clients.set_defaults(run=_clients)
    events = commands.add_parser("events", help="list what happened, the newest last")
    events.add_argument("--follow", action="store_true", help="go on with what happens from now on")
    events.add_argument("--share", help="only those of this share")
    events.add_argument("--kind", help="only those of this kind, such as handle-drift")
    events.add_argument("--by", help="only what this one has asked for, such as 'token backup'")
    events.add_argument("--limit", type=int, default=20, help="at most so many of the past (default: 20)")
    events.set_defaults(run=_events)


def _status(client: Client, arguments: argparse.Namespace) -> int:
    health = client.call("GET", "/v1/health")
    shares = client.call("GET", "/v1/shares")
    show.out({**health, **shares}, arguments, lambda found: f"{show.health(found)}\n\n{show.shares(found)}")
    return FINE if health["status"] in ("ok", "info") else WRONG


def _clients(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.number is None:
        if arguments.expire:
            raise ApiRefusal("which client's session is to end?", "holdfast clients NUMBER --expire")
        query = f"?{urlencode({'share': arguments.share})}" if arguments.share else ""
        show.out(client.call("GET", f"/v1/clients{query}"), arguments, show.clients)
    elif arguments.expire:
        client.call("DELETE", f"/v1/clients/{arguments.number}")
    else:
        show.out(client.call("GET", f"/v1/clients/{arguments.number}"), arguments, show.client)
    return FINE


def _events(client: Client, arguments: argparse.Namespace) -> int:
    wanted = {name: getattr(arguments, name) for name in ("share", "kind", "by") if getattr(arguments, name)}
    past = client.call("GET", f"/v1/events?{urlencode({**wanted, 'limit': arguments.limit})}")["events"]
    for event in reversed(past):
        show.out(event, arguments, show.event)
    if arguments.follow:
        for event in client.stream(f"/v1/events/stream?{urlencode(wanted)}"):
            show.out(event, arguments, show.event)
        raise ApiRefusal("the stream of events has ended", "the appliance is stopping, or the token was revoked")
    return FINE
