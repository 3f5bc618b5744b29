"""Running a program to its end: argument lists only, a time limit, and one log line when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.errors import CommandError
from appliance.logs import facts

_LOG = facts(__name__)
_KILL_SECONDS = 1.0
# The programs of nfs-utils and util-linux; nothing of the environment but this is passed on.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True)
class Completed:
    """How a program ended and what it said."""

    status: int
    output: str
    complaint: str


async def run(argv: Sequence[str], *, stdin: str = "", timeout: float = 60.0, quiet: bool = False) -> str:
    """Run a program and return its standard output; raises CommandError if it fails or takes over `timeout` seconds.

    `quiet` is for questions to which failure is an answer: it is not logged then.
    """
    done = await complete(argv, stdin=stdin, timeout=timeout)
    if done.status != 0:
        reason = done.complaint or f"ended with status {done.status}"
        if not quiet:
            _LOG.error("a program failed", command=shlex.join(argv), output=reason)
        raise failure(argv, reason)
    if done.complaint and not quiet:
        _LOG.warning("a program complained", command=shlex.join(argv), output=done.complaint)
    return done.output


async def complete(argv: Sequence[str], *, stdin: str = "", timeout: float = 60.0) -> Completed:
    """Run a program whatever its status; raises CommandError if it cannot be run or takes over `timeout` seconds."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        hint = "install nfs-kernel-server and util-linux" if isinstance(error, FileNotFoundError) else ""
        raise CommandError(f"{argv[0]} cannot be run: {error.strerror}", hint) from error
    try:
        async with asyncio.timeout(timeout):
            output, errors = await process.communicate(stdin.encode())
    except (TimeoutError, asyncio.CancelledError) as error:
        await _kill(process)
        if isinstance(error, asyncio.CancelledError):
            raise
        _LOG.error("a program hangs", command=shlex.join(argv), seconds=timeout)
        raise failure(argv, f"gave no answer within {timeout:g} s") from error
    assert process.returncode is not None  # noqa: S101 - communicate() waited for it
    return Completed(
        process.returncode,
        output.decode(errors="surrogateescape"),
        errors.decode(errors="replace").strip(),
    )


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        process.kill()
        # Not for ever: a process that waits in the kernel for a dead filesystem does not end.
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()


def failure(argv: Sequence[str], reason: str) -> CommandError:
    """Return the error that says that a program did not do its work."""
    return CommandError(f"{_program(argv)}: {reason}", f"try it by hand: {shlex.join(argv)}")


def _program(argv: Sequence[str]) -> str:
    """The program that matters: what stands behind the `--` of nsenter and its like."""
    return argv[list(argv).index("--") + 1] if "--" in argv else argv[0]
