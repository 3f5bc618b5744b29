"""`holdfast-deploy COMMAND`, or `python -m deploy COMMAND`: what the Makefile does, and the care of an appliance.

Errors are told in a sentence; each has its exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import HoldfastError
from deploy import checks, clean, down, engine, locks, remove, state, status, up, vmrun
from deploy.cache import Cache
from deploy.console import say
from deploy.debian import install, require_root_on_debian
from deploy.image import IMAGE_NAME, image
from deploy.paths import cache_root
from deploy.preflight.command import preflight
from deploy.ready import START_SECONDS
from deploy.upgrade import upgrade
from deploy.vm.appliance import PACKAGES

INTERRUPTED = 130  # what a shell reports for SIGINT


def _image(_: argparse.Namespace) -> int:
    require_root_on_debian()
    install(PACKAGES)
    archive = image(Cache(cache_root())).archive
    say(f"The image is in {archive}, for `docker load`: {archive.stat().st_size / 1e6:.0f} MB")
    return 0


def _build(_: argparse.Namespace) -> int:
    engine.build_image()
    return 0


def _lock(_: argparse.Namespace) -> int:
    locks.lock()
    return 0


def _nothing(_: argparse.ArgumentParser) -> None:
    pass


def _vm_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", type=Path, help="script of any language, bash if it does not say")
    parser.add_argument("--files", type=Path, help="directory that the script finds read-only at $FILES")


def _preflight_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE",
                        help="directories that are to be shared; those in HOLDFAST_SOURCES if left out")
    parser.add_argument("--json", action="store_true", help="print the findings for machines")


def _logs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on with what comes")
    parser.add_argument("--tail", type=int, default=100, metavar="LINES", help="lines of what was (default: 100)")


def _file_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the backup")


def _upgrade_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", default=IMAGE_NAME, help=f"name of the new image (default: {IMAGE_NAME})")
    parser.add_argument("--pull", action="store_true", help="fetch it from its registry first")
    parser.add_argument("--seconds", type=float, default=START_SECONDS, help="how long it may take to become ready")


def _uninstall_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", action="store_true", help="remove the state volume, too: all handles become stale")
    parser.add_argument("--yes", action="store_true", help="do not ask")


@dataclass(frozen=True)
class Command:
    """A command: what it does in a few words, how it is run, and what its command line has besides."""

    text: str
    run: Callable[[argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] = _nothing


COMMANDS = {
    "preflight": Command("tell whether this host can run the appliance, and what mends it if not",
                         lambda given: preflight(given.sources, machine=given.json), _preflight_arguments),
    "build": Command("have the Docker engine build the image, unless it has it of these sources", _build),
    "up": Command("bring the appliance up, here or in a virtual machine, and try it", lambda _: up.up()),
    "status": Command("tell how the appliance is: container, health, shares, clients", lambda _: status.status()),
    "logs": Command("print the appliance's log",
                    lambda given: status.logs(follow=given.follow, lines=given.tail), _logs_arguments),
    "backup": Command("copy the state to a file, while the appliance runs",
                      lambda given: state.backup(given.file), _file_argument),
    "restore": Command("put such a copy in the place of the state",
                       lambda given: state.restore(given.file), _file_argument),
    "upgrade": Command("run a newer image, and go back by itself if that does not become ready",
                       lambda given: upgrade(given.image, pull=given.pull, seconds=given.seconds), _upgrade_arguments),
    "down": Command("stop and remove the appliance; state and data stay", lambda _: down.down()),
    "uninstall": Command("remove everything but state and data, after saying what",
                         lambda given: remove.uninstall(state=given.state, sure=given.yes), _uninstall_arguments),
    "shell": Command("open a shell in the virtual machine that `up` started", lambda _: up.shell()),
    "vm-run": Command("run a script in a fresh virtual machine with the appliance",
                      lambda given: vmrun.vm_run(given.script, given.files), _vm_run_arguments),
    "image": Command("build the container image into a file", _image),
    "test": Command("run every check and test", lambda _: checks.check()),
    "lock": Command("lock the newest versions of all packages", _lock),
    "clean": Command("remove what was built", lambda _: clean.clean()),
}


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="holdfast-deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        command.arguments(commands.add_parser(name, help=command.text))
    return parser.parse_args(argv)


def main() -> int:
    """Run one command and return the exit code."""
    arguments = parse(sys.argv[1:])
    try:
        return COMMANDS[arguments.command].run(arguments)
    except HoldfastError as error:
        say(f"\n{error.code}: {error.message}" + (f"\n  {error.hint}" if error.hint else ""))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
