"""What the command line `holdfast` understands."""

from __future__ import annotations

import argparse

import shtab

from api.cli import checking, configuring, looking, sharing, tokens

_DESCRIPTION = """Manage a Holdfast appliance: a client of its REST API.

Inside the container, root needs no address and no token. Elsewhere: HOLDFAST_URL and HOLDFAST_TOKEN, or the options.
Exit statuses: 0 all is as it should be; 1 it is not, and that was the question (check, decode, status); 2 it could not
be done.
"""


def make() -> argparse.ArgumentParser:
    """Return the parser; each command's `run` takes a client and the arguments, and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="holdfast", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="address of the REST API: http://HOST:PORT, https://HOST:PORT or unix:PATH")
    parser.add_argument("--token-file", help="file with a token")
    parser.add_argument("--ca-file", help="file with the certificates to trust, instead of the system's")
    parser.add_argument("--json", action="store_true", help="print what the API answers, for scripts")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for part in (sharing, looking, checking, configuring, tokens):
        part.add(commands)
    completion = commands.add_parser("completion", help="print the completion for a shell, to be sourced")
    completion.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    return parser


def completion(shell: str) -> str:
    """Return the completion of the command for a shell."""
    return shtab.complete(make(), shell)
