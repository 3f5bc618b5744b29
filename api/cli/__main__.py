"""`holdfast`: the appliance from a shell; api.cli.parser tells what it understands."""

from __future__ import annotations

import argparse
import os
import sys

from api.cli import parser
from api.cli.client import UNIX, ApiRefusal, Client
from api.cli.statuses import FINE, NOT_DONE
from appliance import settings
from appliance.errors import HoldfastError


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = parser.make().parse_args(argv)
    if arguments.command == "completion":
        print(parser.completion(arguments.shell))
        return FINE
    try:
        status: int = arguments.run(_client(arguments), arguments)
    except HoldfastError as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return NOT_DONE
    except ValueError as error:  # what somebody has written for a client
        print(f"holdfast: {error}", file=sys.stderr)
        return NOT_DONE
    except KeyboardInterrupt:
        return NOT_DONE
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_DONE
    return status


def _client(arguments: argparse.Namespace) -> Client:
    access = settings.client()
    url = arguments.url or access.url
    token = access.token
    if arguments.token_file is not None:
        token = _token(arguments.token_file)
    elif not token and not url.startswith(UNIX):
        token = _token(str(access.token_file))
    return Client(url, token, arguments.ca_file or str(access.ca_file or ""))


def _token(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiRefusal(f"no token: {error}", "set HOLDFAST_TOKEN, or give --token-file") from None


if __name__ == "__main__":
    sys.exit(main())
