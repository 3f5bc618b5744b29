"""`python -m deploy COMMAND`: what the Makefile's targets do. Errors are told in a sentence; each has its exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.errors import HoldfastError
from deploy import checks, clean, down, locks, up, vmrun
from deploy.cache import Cache
from deploy.console import say
from deploy.debian import install, require_root_on_debian
from deploy.image import image
from deploy.paths import cache_root
from deploy.vm.appliance import PACKAGES

INTERRUPTED = 130  # what a shell reports for SIGINT


def _image(_: argparse.Namespace) -> int:
    require_root_on_debian()
    install(PACKAGES)
    say(f"The image is in {image(Cache(cache_root())).archive}, for `docker load`")
    return 0


def _lock(_: argparse.Namespace) -> int:
    locks.lock()
    return 0


COMMANDS: dict[str, tuple[str, Callable[[argparse.Namespace], int]]] = {
    "up": ("bring the appliance up, here or in a virtual machine, and try it", lambda _: up.up()),
    "down": ("end what `up` started", lambda _: down.down()),
    "shell": ("open a shell in the virtual machine that `up` started", lambda _: up.shell()),
    "vm-run": ("run a script in a fresh virtual machine with the appliance",
               lambda arguments: vmrun.vm_run(arguments.script, arguments.files)),
    "image": ("build the container image into a file", _image),
    "test": ("run every check and test", lambda _: checks.check()),
    "lock": ("lock the newest versions of all packages", _lock),
    "clean": ("remove what was built", lambda _: clean.clean()),
}


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (text, _) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name == "vm-run":
            command.add_argument("script", type=Path, help="script of any language, bash if it does not say")
            command.add_argument("--files", type=Path, help="directory that the script finds read-only at $FILES")
    return parser.parse_args(argv)


def main() -> int:
    """Run one command and return the exit code."""
    arguments = parse(sys.argv[1:])
    try:
        return COMMANDS[arguments.command][1](arguments)
    except HoldfastError as error:
        say(f"\n{error.code}: {error.message}" + (f"\n  {error.hint}" if error.hint else ""))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
