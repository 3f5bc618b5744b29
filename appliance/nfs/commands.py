"""Running a program to its end: argument lists only, a time limit, and one log line when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Sequence

from appliance.errors import CommandError
from appliance.logs import facts

_LOG = facts(__name__)
# The programs of nfs-utils and util-linux; nothing of the environment but this is passed on.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


async def run(argv: Sequence[str], *, stdin: str = "", timeout: float = 60.0) -> str:
    """Run a program and return its standard output; raises CommandError if it fails or takes over `timeout` seconds."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise CommandError(
            f"{argv[0]} is not installed", "install nfs-kernel-server and util-linux"
        ) from error
    try:
        output, errors = await asyncio.wait_for(process.communicate(stdin.encode()), timeout)
    except (TimeoutError, asyncio.CancelledError) as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise _failed(argv, f"gave no answer within {timeout:g} s") from error
    complaint = errors.decode(errors="replace").strip()
    if process.returncode != 0:
        raise _failed(argv, complaint or f"ended with status {process.returncode}")
    if complaint:
        _LOG.warning("a program complained", command=shlex.join(argv), output=complaint)
    return output.decode(errors="surrogateescape")


def _failed(argv: Sequence[str], reason: str) -> CommandError:
    _LOG.error("a program failed", command=shlex.join(argv), output=reason)
    return CommandError(f"{_program(argv)}: {reason}", f"try it by hand: {shlex.join(argv)}")


def _program(argv: Sequence[str]) -> str:
    """The program that matters: what stands behind the `--` of nsenter and its like."""
    return argv[list(argv).index("--") + 1] if "--" in argv else argv[0]
