"""`holdfast config`: all shares as one document, out and in."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from api.cli import show
from api.cli.client import ApiRefusal, Client, Json
from api.cli.statuses import FINE

_PLACE = "/v1/config"


def add(commands: Any) -> None:
    """Add the command."""
    config = commands.add_parser("config", help="export all shares as one document, or make the shares what one says")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser("export", help="print all shares, as shares.yaml has them (with --json: as JSON)")
    export.set_defaults(run=_export)
    apply = actions.add_parser("apply", help="make the shares what a document says; others are removed")
    apply.add_argument("file", metavar="FILE", help="YAML or JSON; - for standard input")
    apply.add_argument("--dry-run", action="store_true", help="only tell what would change")
    apply.set_defaults(run=_apply)


def _export(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.json:
        show.out(client.call("GET", _PLACE), arguments, str)
    else:
        sys.stdout.write(client.ask("GET", f"{_PLACE}?format=yaml", headers={"Accept": "*/*"}).text)
    return FINE


def _apply(client: Client, arguments: argparse.Namespace) -> int:
    document = _document(arguments.file)
    seen = client.ask("GET", _PLACE)
    # Only if nobody has changed anything since.
    guard = {"If-Match": seen.headers["etag"]} if "etag" in seen.headers else {}
    query = "?dry_run=true" if arguments.dry_run else ""
    answer = client.ask("PUT", f"{_PLACE}{query}", json.dumps(document).encode(), guard).body
    show.out(answer, arguments, show.preview if arguments.dry_run else lambda _: "applied")
    return FINE


def _document(name: str) -> Json:
    """Read a file as `shares.yaml` is read. Raises HoldfastError."""
    from appliance.config_text import parse
    from appliance.model import Config

    try:
        if name == "-":
            text = sys.stdin.buffer.read()
        else:
            with open(name, "rb") as file:
                text = file.read()
    except OSError as error:
        raise ApiRefusal(f"{name} cannot be read: {error}", "it is YAML, as `holdfast config export` prints") from None
    return parse(text).model_dump(mode="json", include=set(Config.model_fields), exclude_unset=True)
