"""`holdfast`: check a share's handles, and tell what a handle names.

Inside the container it finds address and token by itself. Elsewhere: HOLDFAST_URL and HOLDFAST_TOKEN, or the options.
Exit statuses: 0 all is as it should be; 1 a handle has drifted, or does not open its file; 2 it could not be done.
"""

from __future__ import annotations

import argparse
import sys
import time

from api.cli import show
from api.cli.client import ApiRefusal, Client, Json
from appliance import settings
from appliance.errors import HoldfastError

FINE = 0
DRIFT = 1
NOT_DONE = 2
_MODES = ("passive", "evict", "workers", "remount", "nfs")
_POLL_SECONDS = 0.2


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = _parse(argv)
    try:
        client = _client(arguments)
        return _check(client, arguments) if arguments.command == "check" else _decode(client, arguments)
    except HoldfastError as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return NOT_DONE
    except KeyboardInterrupt:
        return NOT_DONE


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="holdfast", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="address of the REST API, as http://HOST:PORT")
    parser.add_argument("--token-file", help="file with the API's token")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check that handles given out earlier still name their files")
    check.add_argument("share", metavar="SHARE")
    check.add_argument("--mode", choices=_MODES, default="passive", help="what is done first (default: passive)")
    check.add_argument("--force", action="store_true", help="remount although clients hold files open: they lose them")
    check.add_argument(
        "--forget-drift", action="store_true", help="afterwards leave out what has drifted: its cause is mended"
    )
    decode = commands.add_parser("decode", help="tell what a handle from a packet capture or a log names")
    decode.add_argument("hex", metavar="HEX", nargs="+", help="the handle's bytes in hexadecimal")
    return parser.parse_args(argv)


def _client(arguments: argparse.Namespace) -> Client:
    access = settings.client()
    url = arguments.url or access.url
    token = access.token
    path = arguments.token_file or (None if token else access.token_file)
    if path is not None:
        try:
            with open(path, encoding="ascii") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ApiRefusal(f"no token: {error}", "set HOLDFAST_TOKEN, or give --token-file") from None
    return Client(url, token)


def _check(client: Client, arguments: argparse.Namespace) -> int:
    wanted: Json = {"mode": arguments.mode, "force": arguments.force, "forget_drift": arguments.forget_drift}
    place = f"/v1/shares/{arguments.share}/handle-checks"
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
    print(show.summary(report))
    if report["counts"].get("drift", 0):
        return DRIFT
    return NOT_DONE if report["counts"].get("unanswered", 0) else FINE


def _decode(client: Client, arguments: argparse.Namespace) -> int:
    found = client.call("POST", "/v1/handles/decode", {"hex": " ".join(arguments.hex)})
    print(show.decoded(found))
    if found["verdict"] in ("not-served", "no-answer"):
        return NOT_DONE
    return FINE if found["verdict"] == "live" else DRIFT


if __name__ == "__main__":
    sys.exit(main())
