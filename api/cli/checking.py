"""`holdfast check` and `decode`: whether handles hold, and what one names."""

from __future__ import annotations

import argparse
import time
from typing import Any
from urllib.parse import quote

from api.cli import show
from api.cli.client import ApiRefusal, Client, Json
from api.cli.statuses import FINE, NOT_DONE, WRONG

_MODES = ("passive", "evict", "workers", "remount", "nfs")
_POLL_SECONDS = 0.2


def add(commands: Any) -> None:
    """Add the commands."""
    check = commands.add_parser("check", help="check that handles given out earlier still name their files")
    check.add_argument("share", metavar="SHARE")
    check.add_argument("--mode", choices=_MODES, default="passive", help="what is done first (default: passive)")
    check.add_argument("--force", action="store_true", help="remount although clients hold files open: they lose them")
    check.add_argument(
        "--forget-drift", action="store_true", help="afterwards leave out what has drifted: its cause is mended"
    )
    check.set_defaults(run=_check)
    decode = commands.add_parser("decode", help="tell what a handle from a packet capture or a log names")
    decode.add_argument("hex", metavar="HEX", nargs="+", help="the handle's bytes in hexadecimal")
    decode.set_defaults(run=_decode)


def _check(client: Client, arguments: argparse.Namespace) -> int:
    wanted: Json = {"mode": arguments.mode, "force": arguments.force, "forget_drift": arguments.forget_drift}
    place = f"/v1/shares/{quote(arguments.share, safe='')}/handle-checks"
    begun = client.call("POST", place, wanted)
    try:
        while (report := client.call("GET", f"{place}/{begun['id']}"))["state"] == "running":
            show.draw(f"{arguments.share} {show.bar(report['done'], report['total'])}")
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        client.call("DELETE", f"{place}/{begun['id']}")
        raise
    finally:
        show.draw("", last=True)
    if report["state"] != "done":
        raise ApiRefusal(f"the check was {report['state']}: {report['reason']}", report["hint"])
    show.out(report, arguments, show.summary)
    if report["counts"].get("drift", 0):
        return WRONG
    return NOT_DONE if report["counts"].get("unanswered", 0) else FINE


def _decode(client: Client, arguments: argparse.Namespace) -> int:
    found = client.call("POST", "/v1/handles/decode", {"hex": " ".join(arguments.hex)})
    show.out(found, arguments, show.decoded)
    if found["verdict"] in ("not-served", "no-answer"):
        return NOT_DONE
    return FINE if found["verdict"] == "live" else WRONG
